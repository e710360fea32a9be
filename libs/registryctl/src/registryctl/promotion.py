"""`registryctl promote`: a version into service as champion, here or in another registry; and `compare`."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from contracts.bundle_signatures import BundleSignature
from contracts.checksums import sha256_of
from contracts.command_line import REFUSED, UNREACHABLE, USAGE, CommandError
from contracts.model_versions import VersionDetail, VersionReceipt
from contracts.registry.client import RegistryClient
from contracts.registry.errors import RegistryRejectedError
from contracts.version_labels import CHAMPION, AliasRequest

# What a registry without aliases answers.
_UNKNOWN_ROUTE = (404, 405)
_NO_PART = (403, *_UNKNOWN_ROUTE)


class FetchedVersion(NamedTuple):
    """A version of the source registry, and its bundle on the disk."""

    detail: VersionDetail
    bundle: Path


def fetch(source: RegistryClient, version: str, folder: Path) -> FetchedVersion:
    """Download a trained version's bundle and check its SHA-256; raises `CommandError` and `RegistryError`."""
    detail = source.version(version)
    if detail.refreshes is not None:
        raise CommandError(
            REFUSED,
            f"version {detail.version} is a refresh of version {detail.refreshes}, whose number is another one "
            "in another registry: promote that version",
        )
    bundle = folder / "bundle.tar.gz"
    source.download(detail.version, bundle)
    if (actual := sha256_of(bundle)) != detail.sha256:
        raise CommandError(
            UNREACHABLE, f"the download's sha256 is {actual}, version {detail.version} has {detail.sha256}"
        )
    return FetchedVersion(detail, bundle)


def check_evaluation(fetched: FetchedVersion, evaluation: Path) -> None:
    """Check that a part is the one that the source compares by; raises `CommandError`."""
    stored = fetched.detail.evaluation
    if stored is None or sha256_of(evaluation) != stored.sha256:
        expected = "none" if stored is None else f"the one with the sha256 {stored.sha256}"
        raise CommandError(
            USAGE, f"{evaluation}: not the part of version {fetched.detail.version}, which has {expected}"
        )


def fetch_evaluation(source: RegistryClient, fetched: FetchedVersion) -> tuple[Path | None, str | None]:
    """Download the part of a version and check its SHA-256; return also why there is one that is not to be had.

    A registry of an earlier release hands out none, and a token of a reader gets none: it holds what users did. Without
    it, the other gate compares by the manifest. Raises `CommandError` and `RegistryError`.
    """
    stored = fetched.detail.evaluation
    if stored is None:
        return None, None
    part = fetched.bundle.with_name("evaluation.zip")
    try:
        source.download_evaluation(fetched.detail.version, part)
    except RegistryRejectedError as error:
        if error.status not in _NO_PART:
            raise
        return None, f"{error.status}: {error.detail}"
    if (actual := sha256_of(part)) != stored.sha256:
        raise CommandError(UNREACHABLE, f"the part's sha256 is {actual}, the version has {stored.sha256}")
    return part, None


def push(target: RegistryClient, fetched: FetchedVersion, evaluation: Path | None) -> VersionReceipt:
    """Push what was fetched, with its signature; the same content again keeps its version.

    Raises `CommandError` and `RegistryError`.
    """
    stored = fetched.detail.signature
    signature = None if stored is None else BundleSignature(stored.key_id, stored.signature)
    pushed = target.push(fetched.bundle, evaluation, signer=lambda _model, _sha256: signature)
    if pushed.sha256 != fetched.detail.sha256:
        raise CommandError(UNREACHABLE, f"the other registry has stored another bundle: sha256 {pushed.sha256}")
    return pushed


def name_champion(registry: RegistryClient, version: str, reason: str | None) -> str:
    """Let `champion` point to a version; return what is said of it. A registry of an earlier release has no aliases."""
    try:
        registry.labels.set_alias(CHAMPION, AliasRequest(version=version, reason=reason))
    except RegistryRejectedError as error:
        if error.status in _UNKNOWN_ROUTE:
            return "this registry has no aliases"
        raise
    return f"{CHAMPION} points to it"


def compare(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Compare two versions on the same queries."""
    found = registry.compare(given.first, given.second)
    share = found.first_ndcg or 1.0
    text = (
        f"{found.queries:,} queries of {found.users:,} users, asked of {found.asked}\n"
        f"nDCG@10  {found.first}: {found.first_ndcg:.4f}  {found.second}: {found.second_ndcg:.4f}\n"
        f"{found.second} - {found.first}: {found.difference:+.4f} ({found.difference / share:+.1%}), 95 % interval "
        f"{found.low:+.4f} to {found.high:+.4f}, tolerance {found.tolerance:.1%}\n"
        f"version {found.second}: {found.verdict}"
    )
    return found.model_dump(mode="json", by_alias=True), text
