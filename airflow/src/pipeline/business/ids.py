"""The ids of the canonical tables: the numbers for which the customer's own ids stand."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table, Text, inspect, select

from business import tables
from contracts.ids import EntityKind, UnusableIdError, parse_id_text
from pipeline.errors import InputError

TABLES: dict[EntityKind, Table] = {"user": tables.users, "dataset": tables.datasets}
_ROWS_PER_BATCH = 10_000

# The changes of a renumbering, from its first step to its last; otherwise empty.
renumbering = MetaData()
id_changes = Table(
    "id_changes",
    renumbering,
    Column("kind", String(8), primary_key=True),
    Column("old_id", BigInteger, primary_key=True, autoincrement=False),
    Column("new_id", BigInteger, nullable=False),
    Column("external_id", Text, nullable=False),
)


class OldId(NamedTuple):
    """A row that an earlier release numbered: its current number, and the number for which its external id stands."""

    old: int
    new: int
    external_id: str


def assign_ids(kind: EntityKind, external_ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of each id; raises `InputError` if two ids stand for one number, or one is invalid."""
    return np.fromiter(_numbers(kind, external_ids), np.int64, len(external_ids))


def _numbers(kind: EntityKind, external_ids: Iterable[str]) -> Iterator[int]:
    names: dict[int, str] = {}
    for text in external_ids:
        number = read_external_id(kind, text)
        if (other := names.get(number)) is not None:
            raise InputError(
                f"{kind}s: the id {text!r} appears twice"
                if other == text
                else f"{kind}s: the ids {other!r} and {text!r} stand for one number, {number}; change one of them"
            )
        names[number] = text
        yield number


def read_external_id(kind: EntityKind, text: str) -> int:
    """Return the number for which an external id stands; raises `InputError`."""
    try:
        return parse_id_text(text, kind)
    except UnusableIdError as error:
        raise InputError(f"{kind}s: {text!r} can't be an id: {error}") from error


def old_ids(connection: Connection, kind: EntityKind) -> Iterator[OldId]:
    """Return the rows whose id is not the number of their external id; raises `InputError` for an invalid one."""
    table = TABLES[kind]
    statement = select(table.c.id, table.c.external_id).where(table.c.external_id.is_not(None)).order_by(table.c.id)
    for row_id, text in connection.execute(statement, execution_options={"yield_per": _ROWS_PER_BATCH}):
        number = read_external_id(kind, text)
        if number != row_id:
            yield OldId(row_id, number, text)


def refuse_old_ids(connection: Connection) -> None:
    """Raise `InputError` if an earlier release numbered the rows of the tables, or a renumbering is not finished.

    Events and live features with the old numbers would otherwise be attributed to other users and datasets.
    """
    if is_renumbering(connection):
        raise InputError("a renumbering was interrupted; nothing was loaded. Run `make renumber APPLY=1` once more")
    for kind in TABLES:
        if (found := next(old_ids(connection, kind), None)) is not None:
            raise InputError(
                f"the business database holds {kind}s under numbers of an earlier release "
                f"({found.external_id!r} is {found.old}). Nothing was loaded. Move everything to the ids of today: "
                "`make renumber` shows what would change, `make renumber APPLY=1` does it (python -m pipeline renumber "
                "[--apply]); the order of an upgrade is in docs/OPERATIONS.md"
            )


def is_renumbering(connection: Connection) -> bool:
    """Return whether the tables have been renumbered, but not everything else."""
    return inspect(connection).has_table(id_changes.name) and (
        connection.execute(select(id_changes.c.old_id).limit(1)).first() is not None
    )
