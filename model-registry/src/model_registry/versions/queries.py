"""Reads and writes of the table `versions`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, insert, select, update

from contracts.bundle import BundleManifest
from contracts.bundle_signatures import BundleSignature
from model_registry.errors import NotFoundError, RemovedVersionError
from model_registry.paging import Page
from model_registry.tables import aliases, models, versions
from model_registry.versions import labels

# A manifest takes kilobytes, and with hourly refreshes there are thousands of them.
_LISTED = [column for column in versions.columns if column.name not in ("manifest", "evaluation")]


class NewContent(NamedTuple):
    """What a new version is."""

    sha256: str
    size: int
    manifest: BundleManifest
    signature: BundleSignature | None = None


def by_checksum(connection: Connection, model: str, sha256: str) -> Row[Any] | None:
    """Return the version with this content, if there is one."""
    found = select(versions).where(versions.c.model == model, versions.c.sha256 == sha256)
    return connection.execute(found).first()


def of_checksum(connection: Connection, model: str, sha256: str) -> Row[Any]:
    """Return the version with this content, which exists: rows are never deleted."""
    found = select(versions).where(versions.c.model == model, versions.c.sha256 == sha256)
    return connection.execute(found).one()


def get(connection: Connection, model: str, version: str) -> Row[Any]:
    """Return a version by its number or an alias; raises `NotFoundError`."""
    number = int(version) if version.isdecimal() and len(version) <= 9 else _aliased(connection, model, version)
    found = select(versions).where(versions.c.model == model, versions.c.version == number)
    row = None if number is None else connection.execute(found).first()
    if row is None:
        raise NotFoundError(f"model {model!r} has no version {version!r}")
    return row


def _aliased(connection: Connection, model: str, alias: str) -> int | None:
    found = select(aliases.c.version).where(aliases.c.model == model, aliases.c.alias == alias)
    return connection.execute(found).scalar()


def get_present(connection: Connection, model: str, version: str) -> Row[Any]:
    """Return a version whose bundle is kept; raises `NotFoundError` and `RemovedVersionError`."""
    row = get(connection, model, version)
    if row.removed_at is not None:
        raise RemovedVersionError(f"{removal(row)}; push it again, or deploy another version")
    return row


def removal(version: Row[Any]) -> str:
    """Return what happened to the bundle of a removed version."""
    return f"retention removed the bundle of {version.model} {version.version} at {version.removed_at:%Y-%m-%dT%H:%MZ}"


def page_of(connection: Connection, model: str, page: Page) -> Sequence[Row[Any]]:
    """Return a page of the versions of a model without their manifests, newest first, and one more if there is one."""
    found = select(*_LISTED).where(versions.c.model == model, versions.c.version < page.before)
    return connection.execute(found.order_by(versions.c.version.desc()).limit(page.limit + 1)).all()


def of_numbers(connection: Connection, model: str, numbers: Sequence[int]) -> Sequence[Row[Any]]:
    """Return versions without their manifests, newest first."""
    found = select(*_LISTED).where(versions.c.model == model, versions.c.version.in_(numbers))
    return connection.execute(found.order_by(versions.c.version.desc())).all()


def all_of(connection: Connection, model: str) -> Sequence[Row[Any]]:
    """Return the versions of a model without their manifests, newest first; raises `NotFoundError` if there are none.

    Those whose bundle was removed are among them.
    """
    found = select(*_LISTED).where(versions.c.model == model).order_by(versions.c.version.desc())
    rows = connection.execute(found).all()
    if not rows:
        raise NotFoundError(f"there is no model {model!r}")
    return rows


def mark_removed(connection: Connection, model: str, numbers: Sequence[int], now: datetime) -> None:
    """Mark the bundles of versions as removed; the caller holds the model's lock."""
    chosen = (versions.c.model == model) & versions.c.version.in_(numbers)
    connection.execute(update(versions).where(chosen).values(removed_at=now))


def restore(connection: Connection, model: str, version: int) -> None:
    """Mark a version's bundle as there again; the caller holds the model's lock."""
    chosen = (versions.c.model == model) & (versions.c.version == version)
    connection.execute(update(versions).where(chosen).values(removed_at=None))


def set_signature(connection: Connection, model: str, sha256: str, signature: BundleSignature) -> None:
    """Keep the signature of a version; the caller holds the model's lock."""
    chosen = (versions.c.model == model) & (versions.c.sha256 == sha256)
    values = {"signature": signature.signature, "signature_key_id": signature.key_id, "signed_at": datetime.now(UTC)}
    connection.execute(update(versions).where(chosen).values(values))


def removed_checksums(connection: Connection, model: str) -> set[str]:
    """Return the checksums of the model's removed bundles."""
    found = select(versions.c.sha256).where(versions.c.model == model, versions.c.removed_at.is_not(None))
    return set(connection.execute(found).scalars())


def names(connection: Connection) -> Sequence[str]:
    """Return the names of all models that have a version."""
    # The other table has few rows; some have no version, since a rejected call locks a name, too.
    has_version = select(versions.c.id).where(versions.c.model == models.c.name).exists()
    return connection.execute(select(models.c.name).where(has_version).order_by(models.c.name)).scalars().all()


def add(connection: Connection, model: str, content: NewContent, pushed_by: str | None) -> Row[Any]:
    """Insert a version under the next number; the caller holds the model's lock."""
    last = connection.execute(select(func.max(versions.c.version)).where(versions.c.model == model)).scalar()
    manifest = content.manifest
    connection.execute(
        insert(versions).values(
            model=model,
            version=(last or 0) + 1,
            sha256=content.sha256,
            size=content.size,
            manifest=manifest.model_dump(mode="json"),
            refreshes=None if manifest.refreshes is None else int(manifest.refreshes),
            created_at=datetime.now(UTC),
        )
    )
    if content.signature is not None:
        set_signature(connection, model, content.sha256, content.signature)
    added = of_checksum(connection, model, content.sha256)
    labels.add_facts(connection, added, manifest, pushed_by)
    return added
