"""The work of the sandbox: unpack a bundle, load it, ask its golden requests. Runs in a process that may die of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from contracts.bundle import (
    BundleManifest,
    MalformedBundleError,
    MalformedManifestError,
    UnreadableFeaturesError,
    check_features,
    unpack,
)
from contracts.checksums import ChecksumError
from contracts.deployments import DeploymentStage
from model_registry.sandbox.channel import Channel
from model_registry.scratch import Scratch
from ranking.bundle import UnusableBundleError, load
from ranking.engine import Engine
from ranking.ranker import UnusableRankerError
from ranking.testing import tiny_bundle
from ranking.verification import GoldenMismatchError, verify


class _RefusedError(Exception):
    def __init__(self, stage: DeploymentStage, error: Exception, *, is_final: bool = True) -> None:
        detail = str(error) if is_final else f"{type(error).__name__}: {error}"
        super().__init__(detail)
        self.refusal = {"stage": stage, "detail": detail, "error": type(error).__name__, "is_final": is_final}


def warm_up() -> None:
    """Load and ask a small bundle: what is compiled for it is there in every fork."""
    scratch = Scratch()
    with scratch.folder("warm-up") as folder:
        verify(Engine(load(tiny_bundle(folder))))
    scratch.close()


def work(arguments: Mapping[str, Any], channel: Channel) -> None:
    """Check `archive`, unpacked to `folder`. Messages: `stage`, `manifest` once it is known, then `refusal` or None."""
    try:
        _check(Path(arguments["archive"]), Path(arguments["folder"]), channel)
    except _RefusedError as error:
        channel.send(refusal=error.refusal)
    except OSError as error:
        # Of the disk: those of a file's content are among the refusals.
        channel.send(unavailable=str(error))
    else:
        channel.send(refusal=None)


def _check(archive: Path, folder: Path, channel: Channel) -> None:
    with _stage(
        channel,
        DeploymentStage.MANIFEST,
        MalformedBundleError,
        MalformedManifestError,
        UnreadableFeaturesError,
        ChecksumError,
    ):
        manifest: BundleManifest = unpack(archive, folder)
        channel.send(manifest=_as_json(manifest))
        check_features(manifest)
    channel.allow(sum(file.stat().st_size for file in folder.iterdir()))
    with _stage(channel, DeploymentStage.LOAD, UnusableBundleError, UnusableRankerError):
        engine = Engine(load(folder))
    with _stage(channel, DeploymentStage.GOLDEN, GoldenMismatchError):
        verify(engine)


def _as_json(manifest: BundleManifest) -> str:
    """Return the manifest as it is stored; raises `MalformedManifestError` for what JSON has no number for."""
    text = manifest.model_dump_json()
    try:
        BundleManifest.model_validate_json(text)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise MalformedManifestError(f"manifest.json: {field}: is not a finite number") from error
    return text


@contextmanager
def _stage(channel: Channel, stage: DeploymentStage, *refusals: type[Exception]) -> Iterator[None]:
    channel.send(stage=stage)
    try:
        yield
    except refusals as error:
        raise _RefusedError(stage, error) from error
    except OSError:
        raise
    except Exception as error:  # the bundle's own doing, whatever it is: memory, recursion, an index
        raise _RefusedError(stage, error, is_final=False) from error
