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

__all__ = [
    "BundleManifest",
    "DataWindow",
    "FeatureSpec",
    "MalformedBundleError",
    "MalformedManifestError",
    "pack",
    "read_manifest",
    "unpack",
    "write_manifest",
]
