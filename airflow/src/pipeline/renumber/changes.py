"""The changes of ids, and how a table applies them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, Connection, Table, Text, cast, func, select, update

from contracts.ids import EntityKind
from pipeline.business.ids import TABLES, OldId, assign_ids, id_changes, old_ids


@dataclass(frozen=True)
class IdChanges:
    """The rows whose numbers change, by kind, in the order of the old ones."""

    rows: Mapping[EntityKind, list[OldId]]

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.rows.values())

    @cached_property
    def token(self) -> str:
        """A text that identifies the changes: a store that has applied them saves it."""
        lines = (f"{kind} {row.old} {row.new}\n" for kind, rows in sorted(self.rows.items()) for row in rows)
        digest = hashlib.sha256()
        for line in lines:
            digest.update(line.encode())
        return digest.hexdigest()[:16]

    @cached_property
    def users(self) -> dict[int, int]:
        """New numbers of users, by the old ones."""
        return {row.old: row.new for row in self.rows["user"]}

    def datasets(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the current numbers of datasets; unchanged ones stay."""
        old, new = self._datasets
        if not len(old):
            return ids
        places = np.minimum(np.searchsorted(old, ids), len(old) - 1)
        return np.where(old[places] == ids, new[places], ids)

    @cached_property
    def _datasets(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows = self.rows["dataset"]
        return np.array([row.old for row in rows], np.int64), np.array([row.new for row in rows], np.int64)


def find_changes(connection: Connection) -> IdChanges:
    """Return the required changes; raises `InputError` if two rows would have one number."""
    found: dict[EntityKind, list[OldId]] = {}
    for kind, table in TABLES.items():
        names = select(func.coalesce(table.c.external_id, cast(table.c.id, Text))).order_by(table.c.id)
        assign_ids(kind, connection.execute(names).scalars().all())
        found[kind] = list(old_ids(connection, kind))
    return IdChanges(found)


def stored_changes(connection: Connection) -> IdChanges:
    """Return the changes of a started renumbering."""
    rows = {
        kind: [
            OldId(old, new, text)
            for old, new, text in connection.execute(
                select(id_changes.c.old_id, id_changes.c.new_id, id_changes.c.external_id)
                .where(id_changes.c.kind == kind)
                .order_by(id_changes.c.old_id)
            )
        ]
        for kind in TABLES
    }
    return IdChanges(rows)


def store_changes(connection: Connection, changes: IdChanges, table: Table = id_changes) -> None:
    """Write the changes to a table that SQL can join."""
    rows = [
        {"kind": kind, "old_id": row.old, "new_id": row.new, "external_id": row.external_id}
        for kind, rows_of_kind in changes.rows.items()
        for row in rows_of_kind
    ]
    if rows:
        connection.execute(table.insert(), rows)


def follow(connection: Connection, table: Table, changes: Table = id_changes) -> None:
    """Change the columns `user_id` and `dataset_id` of a table, each in one statement: no id is changed twice."""
    for kind in TABLES:
        name = f"{kind}_id"
        if name not in table.c:
            continue
        connection.execute(
            update(table)
            .values({name: changes.c.new_id})
            .where(changes.c.kind == kind, changes.c.old_id == table.c[name])
        )


def follow_key(connection: Connection, column: Column[int], kind: EntityKind, changes: Table = id_changes) -> None:
    """Change a column that is a key, or part of one."""
    # In two steps, with negative numbers between: a row's new number may be another's old one.
    connection.execute(
        update(column.table)
        .values({column.name: -changes.c.new_id})
        .where(changes.c.kind == kind, changes.c.old_id == column)
    )
    connection.execute(update(column.table).values({column.name: -column}).where(column < 0))
