"""Reads and writes of the evaluation parts of versions."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, select, update

from model_registry.tables import versions


def put(connection: Connection, model: str, version: int, sha256: str, summary: Mapping[str, Any]) -> None:
    """Note the part of a version; the caller holds the model's lock."""
    chosen = (versions.c.model == model) & (versions.c.version == version)
    connection.execute(update(versions).where(chosen).values(evaluation_sha256=sha256, evaluation=dict(summary)))


def newest_trained(connection: Connection, model: str, count: int, *, without: int) -> list[Row[Any]]:
    """Return the newest trained versions whose bundle is kept, except one; newest first."""
    found = (
        select(versions.c.version, versions.c.evaluation_sha256, versions.c.evaluation)
        .where(
            versions.c.model == model,
            versions.c.refreshes.is_(None),
            versions.c.removed_at.is_(None),
            versions.c.version != without,
        )
        .order_by(versions.c.version.desc())
        .limit(count)
    )
    return [*connection.execute(found)]


def kept_checksums(connection: Connection, model: str) -> set[str]:
    """Return the checksums of the parts of versions whose bundle is kept."""
    found = select(versions.c.evaluation_sha256).where(
        versions.c.model == model, versions.c.removed_at.is_(None), versions.c.evaluation_sha256.is_not(None)
    )
    return set(connection.execute(found).scalars())
