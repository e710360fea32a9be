"""The model bundle: a `.tar.gz` that holds everything a replica needs to answer, without a pickle in it."""

from contracts.bundle.archive import MalformedBundleError, pack, unpack
from contracts.bundle.manifest import (
    BundleManifest,
    DataWindow,
    FeatureSpec,
    MalformedManifestError,
    UnreadableFeaturesError,
    check_features,
    read_manifest,
    write_manifest,
)
from contracts.bundle.sketch import catalogue_sketch, overlap

__all__ = [
    "BundleManifest",
    "DataWindow",
    "FeatureSpec",
    "MalformedBundleError",
    "MalformedManifestError",
    "UnreadableFeaturesError",
    "catalogue_sketch",
    "check_features",
    "overlap",
    "pack",
    "read_manifest",
    "unpack",
    "write_manifest",
]
