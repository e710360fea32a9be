"""The bundles and snapshots that answers were made with: from the runs below ARTIFACT_URL, else from the registry."""

import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.bundle import MalformedBundleError, MalformedManifestError, ValueBins, unpack
from contracts.checksums import ChecksumError
from contracts.features import USER_FEATURES, Feature
from contracts.snapshot import MalformedSnapshotError, content_name, iter_users, read_manifest
from contracts.user_blob import MalformedBlobError, PackedHistory, UserBlob
from pipeline.artifacts import folders_below, join, read_file_list, reading
from pipeline.bundle.build import ARCHIVE
from pipeline.errors import PipelineError
from pipeline.publish import fetch_bundle
from pipeline.settings import Settings
from ranking.bundle import UnusableBundleError, load
from ranking.engine import Engine
from ranking.own_columns import arrange_features
from ranking.ranker import UnusableRankerError

_log = logging.getLogger(__name__)
_UNUSABLE = (
    MalformedBundleError,
    MalformedManifestError,
    ChecksumError,
    UnusableBundleError,
    UnusableRankerError,
    PipelineError,
)


class SnapshotUsers:
    """The blobs of some users in one snapshot, and the features in them."""

    def __init__(self, blobs: dict[int, bytes], features: tuple[Feature, ...]) -> None:
        self._blobs = blobs
        self._features = features

    def known(self, user_id: int, engine: Engine) -> tuple[NDArray[np.float32] | None, PackedHistory]:
        """Return a user's features as an engine reads them, None for an unknown user, and the long-term history."""
        blob = self._blobs.get(user_id)
        if blob is None:
            return None, PackedHistory()
        try:
            features, history = UserBlob.opened(blob)
        except MalformedBlobError:
            return None, PackedHistory()
        return arrange_features(features, self._features[: len(features)], engine.user_features), history


NO_SNAPSHOT = SnapshotUsers({}, ())


class ServedBundle(NamedTuple):
    """A bundle that has answered; `quantiles` are empty in one of an earlier release."""

    engine: Engine
    quantiles: Mapping[str, ValueBins]


def load_bundle(settings: Settings, version: str, sha256: str) -> ServedBundle | None:
    """Return a bundle that has answered, None if it is gone or can't be read."""
    try:
        with _archive(settings, version, sha256) as archive, tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
            manifest = unpack(archive, Path(folder))
            return ServedBundle(Engine(load(Path(folder))), manifest.feature_quantiles)
    except _UNUSABLE as error:
        _log.warning("the bundle of version %s can't be compared: %s", version, error)
        return None


def load_snapshot(settings: Settings, version: str | None, users: Collection[int]) -> SnapshotUsers | None:
    """Return some users of a snapshot by its version in Redis, None if its files are gone or others by now."""
    if version is None:
        return NO_SNAPSHOT
    # As feature-sync names a version: that of the manifest, a hash of the content, and a token of the sync.
    content = version.rpartition(".")[0]
    address = join(settings.artifact_url, "snapshots", content.rpartition(".")[0])
    wanted = set(users)
    try:
        with reading(address) as folder:
            manifest = read_manifest(folder)
            if content_name(manifest) != content:
                return None
            blobs = {user: blob for batch in iter_users(folder, manifest) for user, blob in batch if user in wanted}
    except (PipelineError, MalformedSnapshotError, ChecksumError) as error:
        _log.warning("snapshot %s can't be compared: %s", version, error)
        return None
    named = manifest.user_features
    return SnapshotUsers(blobs, USER_FEATURES if named is None else tuple(spec.feature() for spec in named))


@contextmanager
def _archive(settings: Settings, version: str, sha256: str) -> Iterator[Path]:
    root = join(settings.artifact_url, "runs")
    for name in reversed(folders_below(root)):
        bundle = join(root, name, "bundle")
        listed = read_file_list(bundle)
        if listed is not None and ARCHIVE in listed.files and listed.files[ARCHIVE].sha256 == sha256:
            with reading(bundle) as folder:
                yield folder / ARCHIVE
            return
    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        archive = Path(temporary, ARCHIVE)
        token = settings.registry_ci_token
        fetch_bundle(settings.registry_url, token, settings.model_name, version, sha256=sha256, archive=archive)
        yield archive
