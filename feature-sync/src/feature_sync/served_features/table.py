"""Reads entries of the stream, and writes them to the database. Calls block."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from pydantic import ValidationError
from sqlalchemy import Engine, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from contracts.served_features import HEAD_FIELD, VECTORS_FIELD, MalformedVectorsError, ServedHead, ServedVectors
from feature_sync.events.entries import Fields
from feature_sync.events.log import join_insertions, translate_error
from feature_sync.marks import Marks, MarksChangedError, MarkSource
from feature_sync.served_features.tables import served_features, snapshot_activations

# The nightly comparison reads a day; two more to look at what it found.
RETENTION = timedelta(days=3)


class ServedEntry(NamedTuple):
    """An entry of the stream: its content, and when recommender-api wrote it (Unix time)."""

    head: ServedHead
    vectors: bytes
    received_at: float


class MalformedEntryError(ValueError):
    """The entry is not of this format; it is left out."""


def read_served(entry_id: bytes, fields: Fields) -> ServedEntry:
    """Read an entry of the stream; raises `MalformedEntryError`."""
    try:
        head = ServedHead.model_validate_json(fields[HEAD_FIELD.encode()])
        vectors = fields[VECTORS_FIELD.encode()]
        ServedVectors.unpack(vectors)
    except (KeyError, ValidationError, MalformedVectorsError) as error:
        raise MalformedEntryError(str(error)) from error
    return ServedEntry(head, vectors, int(entry_id.partition(b"-")[0]) / 1000)


class ServedFeatureTable:
    """`events.served_features` and `events.snapshot_activations`; errors as those of `EventLog.add`."""

    def __init__(self, engine: Engine, marks: MarkSource) -> None:
        self._engine = engine
        self._marks = marks
        self._insert = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert

    def add(self, entries: Sequence[ServedEntry]) -> int:
        """Insert entries, without those from before their user was forgotten; return the number of the others."""
        while True:
            marks = self._marks.current
            kept = [entry for entry in entries if not _is_forgotten(entry, marks)]
            try:
                self._add(kept, marks)
            except MarksChangedError:
                continue
            return len(kept)

    def note_active(self, version: str, moment: datetime) -> None:
        """Record that a snapshot became active; an earlier record of it stays."""
        row = self._insert(snapshot_activations).values(version=version, activated_at=moment)
        self._run(row.on_conflict_do_nothing())

    def remove_old(self, now: datetime) -> None:
        """Remove what is older than `RETENTION`, and the snapshots that were followed by another before that."""
        end = now - RETENTION
        table = snapshot_activations.c
        last = select(func.max(table.activated_at)).where(table.activated_at <= end).scalar_subquery()
        self._run(
            delete(served_features).where(served_features.c.ts < end),
            delete(snapshot_activations).where(table.activated_at < last),
        )

    def _add(self, entries: Sequence[ServedEntry], marks: Marks) -> None:
        received = datetime.now(UTC)
        rows = [{**entry.head.model_dump(), "vectors": entry.vectors, "received_at": received} for entry in entries]
        if rows:
            verify = partial(self._marks.verify, marks=marks)
            try:
                with self._engine.begin() as connection:
                    join_insertions(connection)
                    connection.execute(self._insert(served_features).on_conflict_do_nothing(), rows)
                    verify(connection)
            except (StatementError, PoolTimeoutError, ValueError, OverflowError) as error:
                raise translate_error(error) from error

    def _run(self, *statements: object) -> None:
        try:
            with self._engine.begin() as connection:
                for statement in statements:
                    connection.execute(statement)  # type: ignore[call-overload]  # of any kind
        except (StatementError, PoolTimeoutError) as error:
            raise translate_error(error) from error


def _is_forgotten(entry: ServedEntry, marks: Marks) -> bool:
    return min(entry.head.ts.timestamp(), entry.received_at) < marks.moment_of(entry.head.user_id)
