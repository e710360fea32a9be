"""A complete bundle: contents, golden requests, manifest, archive."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.bundle import BundleManifest, DataWindow, FeatureSpec, catalogue_sketch, pack, write_manifest
from contracts.checksums import files_below, sha256_of
from contracts.data_checks import DataCheck
from contracts.features import FEATURES, Feature, schema_of
from pipeline.bundle.golden import golden_requests
from pipeline.bundle.quantiles import feature_quantiles
from pipeline.records import Records
from ranking.bundle import BundleContents, load, save
from ranking.engine import Engine
from ranking.ranker import feature_names
from ranking.verification import verify

ARCHIVE = "bundle.tar.gz"
_HASH_CHARS = 12


def build_bundle(
    contents: BundleContents,
    records: Records,
    folder: Path,
    *,
    name: str,
    run_id: str,
    git_commit: str | None,
    metrics: dict[str, float],
    data_checks: list[DataCheck],
    created_at: datetime,
    seed: int,
    refreshes: str | None = None,
    config: dict[str, Any] | None = None,
) -> BundleManifest:
    """Write `contents/` and its archive below `folder`, after checking that the written bundle answers the same.

    The version is the run id with a hash of the content. `refreshes` is the registry's version of the trained model
    whose ranker the contents have, None if it was trained by this run. `config` is the shape of its training.
    """
    complete = replace(contents, golden=golden_requests(Engine(contents), records, seed))
    features = _features_of(contents)
    quantiles = feature_quantiles(complete, records)
    inside = folder / "contents"
    inside.mkdir()
    save(complete, inside)
    verify(Engine(load(inside)))
    manifest = write_manifest(
        inside,
        BundleManifest(
            name=name,
            version=f"{run_id}-{_content_hash(inside)}",
            created_at=created_at,
            git_commit=git_commit,
            data_window=_window(records),
            feature_schema=schema_of(features),
            features=[FeatureSpec.of(each) for each in features],
            catalogue_sketch=catalogue_sketch(records.catalogue.titles),
            data_checks=data_checks,
            metrics=metrics,
            refreshes=refreshes,
            config=config,
            feature_quantiles=quantiles,
            trained_until=datetime.fromtimestamp(records.last, UTC) if len(records) else None,
        ),
    )
    pack(inside, folder / ARCHIVE)
    return manifest


def _features_of(contents: BundleContents) -> list[Feature]:
    """Return the features of a ranker; one that is refreshed may be of an earlier release."""
    known = {feature.name: feature for feature in (*FEATURES, *contents.own.features)}
    return [known[name] for name in feature_names(contents.ranker_text)]


def content_of(version: str) -> str:
    """Return the hash of the content in a manifest's version; other text for a bundle of an earlier release."""
    return version.rpartition("-")[2]


def _content_hash(folder: Path) -> str:
    """Return a hash of all files below a folder, without the manifest."""
    hashed = hashlib.sha256()
    for name, path in files_below(folder).items():
        hashed.update(f"{sha256_of(path)}  {name}\n".encode())
    return hashed.hexdigest()[:_HASH_CHARS]


def _window(records: Records) -> DataWindow:
    return DataWindow(
        start=datetime.fromtimestamp(records.start, UTC),
        end=datetime.fromtimestamp(records.end, UTC),
        interactions=len(records),
        users=len(records.user_ids),
        datasets=len(records.catalogue),
    )
