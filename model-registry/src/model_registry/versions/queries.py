"""Reads and writes of the table `versions`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from contracts.bundle import BundleManifest
from model_registry.errors import NotFoundError
from model_registry.tables import versions


def by_checksum(connection: Connection, model: str, sha256: str) -> Row[Any] | None:
    """Return the version with this content, if there is one."""
    found = select(versions).where(versions.c.model == model, versions.c.sha256 == sha256)
    return connection.execute(found).first()


def get(connection: Connection, model: str, version: str) -> Row[Any]:
    """Return a version; raises `NotFoundError`."""
    row = None
    if version.isdecimal() and len(version) <= 9:
        found = select(versions).where(versions.c.model == model, versions.c.version == int(version))
        row = connection.execute(found).first()
    if row is None:
        raise NotFoundError(f"model {model!r} has no version {version!r}")
    return row


def all_of(connection: Connection, model: str) -> Sequence[Row[Any]]:
    """Return the versions of a model, newest first; raises `NotFoundError` if there are none."""
    found = select(versions).where(versions.c.model == model).order_by(versions.c.version.desc())
    rows = connection.execute(found).all()
    if not rows:
        raise NotFoundError(f"there is no model {model!r}")
    return rows


def names(connection: Connection) -> Sequence[str]:
    """Return the names of all models that have a version."""
    return connection.execute(select(versions.c.model).distinct().order_by(versions.c.model)).scalars().all()


def add(connection: Connection, model: str, sha256: str, size: int, manifest: BundleManifest) -> Row[Any]:
    """Insert a version under the next number; the caller holds the model's lock."""
    last = connection.execute(select(func.max(versions.c.version)).where(versions.c.model == model)).scalar()
    connection.execute(
        insert(versions).values(
            model=model,
            version=(last or 0) + 1,
            sha256=sha256,
            size=size,
            manifest=manifest.model_dump(mode="json"),
            refreshes=None if manifest.refreshes is None else int(manifest.refreshes),
            created_at=datetime.now(UTC),
        )
    )
    added = by_checksum(connection, model, sha256)
    if added is None:
        raise NotFoundError("the version just added is gone")
    return added
