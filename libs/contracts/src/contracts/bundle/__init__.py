"""The model bundle: a `.tar.gz` that holds everything a replica needs to answer, without a pickle in it."""

from contracts.bundle.archive import pack, unpack
from contracts.bundle.errors import MalformedBundleError
from contracts.bundle.manifest import (
    AnotherRankerError,
    BundleManifest,
    DataWindow,
    MalformedManifestError,
    UnreadableFeaturesError,
    ValueBins,
    check_features,
    check_same_ranker,
    read_manifest,
    write_manifest,
)
from contracts.bundle.sketch import catalogue_sketch, overlap
from contracts.feature_spec import FeatureSpec

__all__ = [
    "AnotherRankerError",
    "BundleManifest",
    "DataWindow",
    "FeatureSpec",
    "MalformedBundleError",
    "MalformedManifestError",
    "UnreadableFeaturesError",
    "ValueBins",
    "catalogue_sketch",
    "check_features",
    "check_same_ranker",
    "overlap",
    "pack",
    "read_manifest",
    "unpack",
    "write_manifest",
]
