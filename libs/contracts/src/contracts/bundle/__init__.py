"""The model bundle: a `.tar.gz` that holds everything a replica needs to answer, without a pickle in it."""

from contracts.bundle.archive import MalformedBundleError, pack, unpack
from contracts.bundle.manifest import (
    BundleManifest,
    DataWindow,
    FeatureSpec,
    MalformedManifestError,
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
    "catalogue_sketch",
    "overlap",
    "pack",
    "read_manifest",
    "unpack",
    "write_manifest",
]
