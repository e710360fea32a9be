"""Loads a model from an unpacked bundle and verifies that it answers correctly."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

import monitoring
from contracts.bundle import MalformedManifestError, UnreadableFeaturesError, check_features, read_manifest
from contracts.checksums import ChecksumError
from contracts.deployments import ActiveDeployment, DeploymentStage
from ranking.bundle import BundleContents, UnusableBundleError, load
from ranking.engine import Engine
from ranking.json_items import compile_json_items
from ranking.ranker import UnusableRankerError
from ranking.recall import Neighbours
from ranking.verification import GoldenMismatchError, verify
from recommender_api.models.bundle_check import PRECOMPUTED
from recommender_api.models.serving import LoadedModel


class UnusableModelError(ValueError):
    """The bundle can't be served; `stage` is the check that failed: load or validate."""

    def __init__(self, stage: DeploymentStage, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause garbage collection: it would scan the hundred thousand objects of a ranker again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_no_garbage_collection()
def load_model(folder: Path, deployment: ActiveDeployment, damage: ChecksumError | None = None) -> LoadedModel:
    """Load an unpacked bundle whose checksums hold and ask its golden requests, which also warms it up.

    `damage` describes damaged precomputed lists: it is reported, and the rest of the bundle serves. Raises
    `UnusableModelError`.
    """
    try:
        manifest = read_manifest(folder)
        check_features(manifest)
        contents = load(folder)
        if damage is not None:
            contents = _without_precomputed(contents, damage)
        engine = Engine(contents)
    except (MalformedManifestError, UnreadableFeaturesError, UnusableBundleError, UnusableRankerError) as error:
        raise UnusableModelError(DeploymentStage.LOAD, str(error)) from error
    if contents.precomputed_error is not None:
        monitoring.report(
            "fallback.precomputed_load_failed",
            error=contents.precomputed_error,
            precomputed_path=f"{folder.name}/{PRECOMPUTED[0]}",
            model_version=deployment.version,
        )
    try:
        verify(engine)
    except GoldenMismatchError as error:
        raise UnusableModelError(DeploymentStage.VALIDATE, str(error)) from error
    # Do now the work that the first request would otherwise wait for.
    contents.catalogue.tagged("")
    compile_json_items()
    return LoadedModel(deployment, manifest, engine)


def _without_precomputed(contents: BundleContents, damage: ChecksumError) -> BundleContents:
    n = len(contents.catalogue)
    error = UnusableBundleError(str(damage))
    error.__cause__ = damage
    empty = Neighbours(np.empty((n, 0), np.int32), np.empty((n, 0), np.float32))
    return replace(contents, precomputed=empty, precomputed_error=error)
