"""Rows of versions as the API shows them."""

from typing import Any

from sqlalchemy import Row

from contracts.model_versions import EvaluationSummary, Lineage, VersionDetail, VersionReceipt, VersionSignature
from model_registry.versions.label_service import LabelledRow


def receipt(row: Row[Any]) -> VersionReceipt:
    """Return the receipt of a version."""
    return VersionReceipt(
        name=row.model,
        version=str(row.version),
        sha256=row.sha256,
        created_at=row.created_at,
        refreshes=None if row.refreshes is None else str(row.refreshes),
        removed_at=row.removed_at,
        takes_evaluation=row.refreshes is None,
    )


def evaluation_of(row: Row[Any]) -> EvaluationSummary | None:
    """Return what the evaluation part of a version says of itself, None if it has none."""
    if row.evaluation_sha256 is None:
        return None
    return EvaluationSummary.model_validate({"sha256": row.evaluation_sha256, **row.evaluation})


def detail(labelled: LabelledRow) -> VersionDetail:
    """Return a version with its manifest, labels and lineage."""
    row, labels = labelled
    facts = labels.facts
    return VersionDetail(
        **receipt(row).model_dump(),
        size=row.size,
        manifest=row.manifest,
        evaluation=evaluation_of(row),
        signature=_signature_of(row),
        aliases=labels.aliases,
        tags=labels.tags,
        description=None if facts is None else facts.description,
        lineage=_lineage(row, None if facts is None else facts.pushed_by),
    )


def _signature_of(row: Row[Any]) -> VersionSignature | None:
    if row.signature is None:
        return None
    return VersionSignature(key_id=row.signature_key_id, signature=row.signature, signed_at=row.signed_at)


def _lineage(row: Row[Any], pushed_by: str | None) -> Lineage:
    manifest = row.manifest
    return Lineage(
        run=manifest["version"],
        git_commit=manifest["git_commit"],
        made_at=manifest["created_at"],
        data_window=manifest["data_window"],
        trained_until=manifest.get("trained_until"),
        parameters=manifest.get("config"),
        refreshes=manifest.get("refreshes"),
        pushed_by=pushed_by,
    )
