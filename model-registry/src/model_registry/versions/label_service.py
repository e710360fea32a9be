"""Changes of aliases, tags and descriptions, and the search by them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from contracts.version_labels import MAX_ALIASES, MAX_TAGS, AliasRequest, LabelChange
from contracts.webhooks import WebhookEvent
from model_registry.database import Database, lock_model
from model_registry.errors import AliasConflictError, NotFoundError, TooManyLabelsError
from model_registry.paging import Page, cut_page
from model_registry.versions import labels, queries, search
from model_registry.versions.search import Search
from model_registry.webhooks.outbox import Outbox


class VersionLabels(NamedTuple):
    """What people say of a version; `facts` is None for one that a registry of an earlier release took in."""

    aliases: list[str]
    tags: dict[str, str]
    facts: Row[Any] | None


class LabelledRow(NamedTuple):
    """A version's row with its labels."""

    version: Row[Any]
    labels: VersionLabels


class Labels:
    """The aliases, tags and descriptions of all models' versions."""

    def __init__(
        self, database: Database, outbox: Outbox, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    def describe(self, model: str, version: str) -> LabelledRow:
        """Return a version with its manifest and labels; raises `NotFoundError`."""
        with self._database.transaction("get_version") as connection:
            row = queries.get(connection, model, version)
            return _labelled(connection, model, [row])[0]

    def find(self, model: str, wanted: Search, page: Page) -> tuple[list[LabelledRow], str | None]:
        """Return a page of the versions that fit, newest first, and what begins the next one."""
        with self._database.transaction("search_versions") as connection:
            rows, next_before = cut_page(search.find(connection, model, wanted, page), page, "version")
            if not rows and model not in queries.names(connection):
                raise NotFoundError(f"there is no model {model!r}")
            return _labelled(connection, model, rows), next_before

    def change(self, model: str, version: str, wanted: LabelChange) -> LabelledRow:
        """Change tags and description; raises `NotFoundError` and `TooManyLabelsError`."""
        with self._database.transaction("label_version") as connection:
            lock_model(connection, model)
            row = queries.get(connection, model, version)
            labels.put_tags(connection, model, row.version, wanted.tags)
            if labels.count_tags(connection, model, row.version) > MAX_TAGS:
                raise TooManyLabelsError(f"version {row.version} would have more than {MAX_TAGS} tags; remove some")
            if "description" in wanted.model_fields_set:
                labels.put_description(connection, row, wanted.description)
            return _labelled(connection, model, [row])[0]

    def aliases(self, model: str) -> Sequence[Row[Any]]:
        """Return the aliases of a model by name; raises `NotFoundError`."""
        with self._database.transaction("list_aliases") as connection:
            if model not in queries.names(connection):
                raise NotFoundError(f"there is no model {model!r}")
            return labels.all_aliases(connection, model)

    def set_alias(self, model: str, alias: str, wanted: AliasRequest, by: str | None) -> Row[Any]:
        """Let an alias point to a version whose bundle is kept, and return it.

        An alias that points there already stays as it is. Raises `NotFoundError`, `RemovedVersionError`,
        `AliasConflictError` and `TooManyLabelsError`.
        """
        with self._database.transaction("set_alias") as connection:
            # Retention, which removes bundles that no alias names, takes the same lock.
            lock_model(connection, model)
            version = queries.get_present(connection, model, wanted.version)
            current = labels.alias(connection, model, alias)
            if current is not None and current.version == version.version:
                return current
            points_to = None if current is None else str(current.version)
            if wanted.expected is not None and wanted.expected != points_to:
                raise AliasConflictError(f"{alias} points to {points_to or 'nothing'}, not to {wanted.expected}")
            if current is None and len(labels.all_aliases(connection, model)) >= MAX_ALIASES:
                raise TooManyLabelsError(f"{model} has {MAX_ALIASES} aliases; remove one first")
            values = {"version": version.version, "set_at": self._clock(), "set_by": by}
            moved = {"alias": alias, "version": str(version.version), "previous_version": points_to, "by": by}
            self._outbox.record(connection, WebhookEvent.ALIAS_CHANGED, model, **moved, reason=wanted.reason)
            return labels.put_alias(connection, model, alias, values)

    def remove_alias(self, model: str, alias: str, by: str | None, reason: str | None) -> None:
        """Remove an alias; raises `NotFoundError`."""
        with self._database.transaction("remove_alias") as connection:
            lock_model(connection, model)
            current = labels.alias(connection, model, alias)
            if current is None:
                raise NotFoundError(f"model {model!r} has no alias {alias!r}")
            labels.remove_alias(connection, model, alias)
            removed = {"alias": alias, "version": None, "previous_version": str(current.version), "by": by}
            self._outbox.record(connection, WebhookEvent.ALIAS_CHANGED, model, **removed, reason=reason)


def _labelled(connection: Connection, model: str, rows: Sequence[Row[Any]]) -> list[LabelledRow]:
    numbers = [row.version for row in rows]
    names = labels.aliases_of(connection, model, numbers)
    tags = labels.tags_of(connection, model, numbers)
    facts = labels.facts_of(connection, model, numbers)
    return [
        LabelledRow(row, VersionLabels(names[row.version], tags[row.version], facts.get(row.version))) for row in rows
    ]
