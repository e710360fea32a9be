"""From an unpacked bundle to a model that has proven that it answers."""

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

import monitoring
from contracts.bundle import BundleManifest, MalformedManifestError, read_manifest
from contracts.checksums import ChecksumError, verify_files
from contracts.features import FEATURE_SCHEMA
from ranking.bundle import BundleContents, UnusableBundleError, load
from ranking.engine import Engine
from ranking.ranker import UnusableRankerError
from ranking.recall import Neighbours
from ranking.verification import GoldenMismatchError, verify
from recommender_api.models.deployments import Deployment
from recommender_api.models.serving import LoadedModel

_PRECOMPUTED = ("precomputed_items.npy", "precomputed_scores.npy")


class UnusableModelError(ValueError):
    """The bundle can't be served; `stage` is the check that refused it: load or validate."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


def load_model(folder: Path, deployment: Deployment) -> LoadedModel:
    """Load an unpacked bundle and ask its golden requests, which also warms it up.

    Damaged precomputed lists cost only themselves: they are reported, and the rest serves.
    Raises `UnusableModelError`.
    """
    try:
        manifest = read_manifest(folder)
        if manifest.feature_schema != FEATURE_SCHEMA:
            raise UnusableModelError(
                "load", f"made for feature schema {manifest.feature_schema}; this service computes {FEATURE_SCHEMA}"
            )
        damage = _check_files(folder, manifest)
        contents = load(folder)
        if damage is not None:
            contents = _without_precomputed(contents, damage)
        engine = Engine(contents)
    except (MalformedManifestError, ChecksumError, UnusableBundleError, UnusableRankerError) as error:
        raise UnusableModelError("load", str(error)) from error
    if contents.precomputed_error is not None:
        monitoring.report(
            "fallback.precomputed_load_failed",
            error=contents.precomputed_error,
            precomputed_path=f"{folder.name}/{_PRECOMPUTED[0]}",
            model_version=deployment.version,
        )
    try:
        verify(engine)
    except GoldenMismatchError as error:
        raise UnusableModelError("validate", str(error)) from error
    contents.catalogue.tagged("")  # builds the index by tag now, not in a request
    _give_back()
    return LoadedModel(deployment, manifest, engine)


def _give_back() -> None:
    """Return to the system what reading has used and left: allocators keep it, a tenth of a large model."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _check_files(folder: Path, manifest: BundleManifest) -> ChecksumError | None:
    """Compare all checksums; returns the damage of the precomputed lists, raises that of any other file."""
    precomputed = {name: value for name, value in manifest.files.items() if name in _PRECOMPUTED}
    others = {name: value for name, value in manifest.files.items() if name not in _PRECOMPUTED}
    verify_files(folder, others, besides=frozenset({"manifest.json", *_PRECOMPUTED}))
    try:
        verify_files(folder, precomputed, besides=frozenset({"manifest.json", *others}))
    except ChecksumError as error:
        return error
    return None


def _without_precomputed(contents: BundleContents, damage: ChecksumError) -> BundleContents:
    n = len(contents.catalogue)
    error = UnusableBundleError(str(damage))
    error.__cause__ = damage
    empty = Neighbours(np.empty((n, 0), np.int32), np.empty((n, 0), np.float32))
    return replace(contents, precomputed=empty, precomputed_error=error)
