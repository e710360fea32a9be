"""Reads and writes of what people say of versions: aliases, tags and descriptions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from contracts.bundle import BundleManifest
from model_registry.tables import aliases, version_facts, version_tags


def add_facts(connection: Connection, version: Row[Any], manifest: BundleManifest, pushed_by: str | None) -> None:
    """Note what a search goes by, of a version that was inserted."""
    connection.execute(
        insert(version_facts).values(
            model=version.model,
            version=version.version,
            trained_until=manifest.trained_until,
            pushed_by=pushed_by,
            search_text=search_text(manifest, None),
        )
    )


def search_text(manifest: BundleManifest, description: str | None) -> str:
    """Return the text in which a search looks for words."""
    return "\n".join((manifest.version, manifest.git_commit or "", description or "")).lower()


def facts_of(connection: Connection, model: str, numbers: Sequence[int]) -> dict[int, Row[Any]]:
    """Return the facts of versions by their number; one that a registry of an earlier release took in has none."""
    found = select(version_facts).where(version_facts.c.model == model, version_facts.c.version.in_(numbers))
    return {row.version: row for row in connection.execute(found)}


def tags_of(connection: Connection, model: str, numbers: Sequence[int]) -> dict[int, dict[str, str]]:
    """Return the tags of versions by their number."""
    found = select(version_tags).where(version_tags.c.model == model, version_tags.c.version.in_(numbers))
    tags: dict[int, dict[str, str]] = {number: {} for number in numbers}
    for row in connection.execute(found.order_by(version_tags.c.key)):
        tags[row.version][row.key] = row.value
    return tags


def aliases_of(connection: Connection, model: str, numbers: Sequence[int]) -> dict[int, list[str]]:
    """Return the aliases of versions by their number."""
    names: dict[int, list[str]] = {number: [] for number in numbers}
    for row in all_aliases(connection, model):
        if row.version in names:
            names[row.version].append(row.alias)
    return names


def all_aliases(connection: Connection, model: str) -> Sequence[Row[Any]]:
    """Return the aliases of a model by name."""
    return connection.execute(select(aliases).where(aliases.c.model == model).order_by(aliases.c.alias)).all()


def alias(connection: Connection, model: str, name: str) -> Row[Any] | None:
    """Return an alias, if there is one."""
    return connection.execute(select(aliases).where(aliases.c.model == model, aliases.c.alias == name)).first()


def put_alias(connection: Connection, model: str, name: str, values: Mapping[str, Any]) -> Row[Any]:
    """Set an alias, new or not, and return it; the caller holds the model's lock."""
    remove_alias(connection, model, name)
    connection.execute(insert(aliases).values(model=model, alias=name, **values))
    return connection.execute(select(aliases).where(aliases.c.model == model, aliases.c.alias == name)).one()


def remove_alias(connection: Connection, model: str, name: str) -> None:
    """Remove an alias; the caller holds the model's lock."""
    connection.execute(delete(aliases).where(aliases.c.model == model, aliases.c.alias == name))


def put_tags(connection: Connection, model: str, version: int, tags: Mapping[str, str | None]) -> None:
    """Set tags, and remove those whose value is None; the caller holds the model's lock."""
    of_version = (version_tags.c.model == model) & (version_tags.c.version == version)
    connection.execute(delete(version_tags).where(of_version, version_tags.c.key.in_(list(tags))))
    rows: Iterable[dict[str, Any]] = (
        {"model": model, "version": version, "key": key, "value": value}
        for key, value in tags.items()
        if value is not None
    )
    if added := list(rows):
        connection.execute(insert(version_tags), added)


def count_tags(connection: Connection, model: str, version: int) -> int:
    """Return how many tags a version has."""
    of_version = (version_tags.c.model == model) & (version_tags.c.version == version)
    return connection.scalar(select(func.count()).select_from(version_tags).where(of_version)) or 0


def put_description(connection: Connection, version: Row[Any], description: str | None) -> None:
    """Set or remove a description; the caller holds the model's lock."""
    manifest = BundleManifest.model_validate(version.manifest)
    if not facts_of(connection, version.model, [version.version]):
        add_facts(connection, version, manifest, None)
    chosen = (version_facts.c.model == version.model) & (version_facts.c.version == version.version)
    text = search_text(manifest, description)
    connection.execute(update(version_facts).where(chosen).values(description=description, search_text=text))
