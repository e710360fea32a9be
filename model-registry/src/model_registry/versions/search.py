"""The search of versions by tag, alias, age of their data, and words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from model_registry.paging import Page
from model_registry.tables import aliases, version_facts, version_tags, versions
from model_registry.versions import queries


@dataclass(frozen=True)
class Search:
    """What a version must be; all that is given must fit.

    `tags` are `key:value`, or `key` alone for any value. `words` is looked for in run, commit and description.
    """

    tags: Sequence[str] = ()
    alias: str | None = None
    trained_after: datetime | None = None
    words: str | None = None


def find(connection: Connection, model: str, search: Search, page: Page) -> Sequence[Row[Any]]:
    """Return a page of the versions that fit, newest first, without their manifests, and one more if there is one."""
    # The numbers first, from small rows; a registry of an earlier release took in versions without them.
    needs_facts = search.trained_after is not None or search.words is not None
    table = version_facts if needs_facts else versions
    found = select(table.c.version).where(table.c.model == model, table.c.version < page.before)
    for tag in search.tags:
        found = found.where(table.c.version.in_(_tagged(model, tag)))
    if search.alias is not None:
        named = select(aliases.c.version).where(aliases.c.model == model, aliases.c.alias == search.alias)
        # Of one row: as `IN`, SQLite would compare all versions with it.
        found = found.where(table.c.version == named.scalar_subquery())
    if search.trained_after is not None:
        found = found.where(version_facts.c.trained_until > search.trained_after)
    if search.words is not None:
        found = found.where(version_facts.c.search_text.contains(search.words.lower(), autoescape=True))
    numbers = connection.execute(found.order_by(table.c.version.desc()).limit(page.limit + 1)).scalars().all()
    return queries.of_numbers(connection, model, numbers)


def _tagged(model: str, tag: str) -> Select[tuple[int]]:
    key, has_value, value = tag.partition(":")
    found = select(version_tags.c.version).where(version_tags.c.model == model, version_tags.c.key == key)
    return found.where(version_tags.c.value == value) if has_value else found
