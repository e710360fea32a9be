"""A complete bundle: contents, golden requests, manifest, archive."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from contracts.bundle import BundleManifest, DataWindow, catalogue_sketch, pack, write_manifest
from contracts.data_checks import DataCheck
from contracts.features import FEATURE_SCHEMA
from pipeline.bundle.golden import golden_requests
from pipeline.records import Records
from ranking.bundle import BundleContents, load, save
from ranking.engine import Engine
from ranking.verification import verify

ARCHIVE = "bundle.tar.gz"


def build_bundle(
    contents: BundleContents,
    records: Records,
    folder: Path,
    *,
    name: str,
    version: str,
    git_commit: str | None,
    metrics: dict[str, float],
    data_checks: list[DataCheck],
    created_at: datetime,
    seed: int,
) -> BundleManifest:
    """Write `contents/` and its archive below `folder`, after checking that the written bundle answers the same."""
    complete = replace(contents, golden=golden_requests(Engine(contents), records, seed))
    inside = folder / "contents"
    inside.mkdir()
    save(complete, inside)
    verify(Engine(load(inside)))
    manifest = write_manifest(
        inside,
        BundleManifest(
            name=name,
            version=version,
            created_at=created_at,
            git_commit=git_commit,
            data_window=_window(records),
            feature_schema=FEATURE_SCHEMA,
            catalogue_sketch=catalogue_sketch(records.catalogue.titles),
            data_checks=data_checks,
            metrics=metrics,
        ),
    )
    pack(inside, folder / ARCHIVE)
    return manifest


def _window(records: Records) -> DataWindow:
    return DataWindow(
        start=datetime.fromtimestamp(records.start, UTC),
        end=datetime.fromtimestamp(records.end, UTC),
        interactions=len(records),
        users=len(records.user_ids),
        datasets=len(records.catalogue),
    )
