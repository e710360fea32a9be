"""Reads what was served, and what could be known then, from the database of feature-sync."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from business import BusinessDatabase
from contracts.events import InteractionType
from contracts.moments import parse_row_moment
from contracts.user_blob import LIVE_SECONDS, LiveHistory, PackedHistory
from pipeline.extract.log_tables import Period, period_condition, relations_of, select_rows, table_name

# About half a minute of computing, and 100 MB. The newest answers count.
MAX_ANSWERS = 10_000
_SERVED, _ACTIVATIONS, _EVENTS = "served_features", "snapshot_activations", "behavior_events"
_USERS_PER_READ = 1000
# The pointer is followed once a second, by recommender-api and by feature-sync.
SWITCH_SECONDS = 5.0


class ServedAnswer(NamedTuple):
    """A row of `events.served_features`; `moment` is in Unix seconds."""

    served_id: str
    request_id: str
    moment: float
    user_id: int
    dataset_id: int | None
    max_items: int
    model_version: str
    bundle_sha256: str
    snapshot: str | None
    # Unpacked, those of a night would take a gigabyte.
    packed: bytes


class LoggedEvent(NamedTuple):
    """An event of a user: when it happened and when it was stored (Unix seconds)."""

    dataset_id: int
    kind: int
    ts: float
    received_at: float

    @property
    def known_from(self) -> float:
        """When it happened; a clock that is ahead is corrected."""
        return min(self.ts, self.received_at)


class Activations:
    """Which snapshot was active when, ascending by time."""

    def __init__(self, switches: Sequence[tuple[float, str]]) -> None:
        self._switches = sorted(switches)

    def at(self, moment: float) -> list[str]:
        """Return the versions that an answer of a moment may have read, the newest first; none: it is not known."""
        found = []
        ended = float("inf")
        for began, version in reversed(self._switches):
            if began <= moment + SWITCH_SECONDS and ended >= moment - SWITCH_SECONDS:
                found.append(version)
            ended = began
        return found


class ServedLog:
    """The three tables, over one read-only connection."""

    def __init__(self, database: BusinessDatabase) -> None:
        self._database = database
        self._relations = relations_of(database)

    @property
    def is_there(self) -> bool:
        """Whether feature-sync has made the tables; an earlier release has none."""
        return {_SERVED, _ACTIVATIONS, _EVENTS} <= self._relations

    def answers(self, since: datetime, until: datetime) -> list[ServedAnswer]:
        """Return the newest answers of a time span, newest first."""
        columns = "served_id, request_id, ts, user_id, dataset_id, max_items, model_version, bundle_sha256, snapshot"
        bounds = period_condition(self._database.dialect, Period(since, until))
        sql = (
            f"SELECT {columns}, vectors FROM {self._name(_SERVED)} WHERE {bounds} "  # noqa: S608 - our own names
            f"ORDER BY ts DESC LIMIT {MAX_ANSWERS}"
        )
        return [
            ServedAnswer._make((row[0], row[1], _unix(row[2]), *row[3:-1], bytes(row[-1])))
            for row in self._rows(sql, _SERVED)
        ]

    def activations(self) -> Activations:
        """Return when each snapshot became active."""
        sql = f"SELECT version, activated_at FROM {self._name(_ACTIVATIONS)}"  # noqa: S608 - our own names
        return Activations([(_unix(at), version) for version, at in self._rows(sql, _ACTIVATIONS)])

    def events(self, users: Sequence[int]) -> dict[int, list[LoggedEvent]]:
        """Return the events of users, in the order in which they were stored; exposures are no interest."""
        found: dict[int, list[LoggedEvent]] = defaultdict(list)
        for start in range(0, len(users), _USERS_PER_READ):
            ids = ", ".join(str(int(user)) for user in users[start : start + _USERS_PER_READ])
            sql = (
                f"SELECT user_id, dataset_id, type, ts, received_at FROM {self._name(_EVENTS)} "  # noqa: S608 - as above
                f"WHERE type <> 'exposure' AND user_id IN ({ids}) ORDER BY received_at, ts, event_id"
            )
            for user_id, dataset_id, kind, ts, received_at in self._rows(sql, _EVENTS):
                event = LoggedEvent(dataset_id, int(InteractionType.of(kind)), _unix(ts), _unix(received_at))
                found[user_id].append(event)
        return found

    def _name(self, table: str) -> str:
        return table_name(self._database.dialect, table)

    def _rows(self, sql: str, table: str) -> Iterator[Sequence[Any]]:
        return select_rows(self._database, sql, table, batch_rows=500)


def live_history(events: Sequence[LoggedEvent], moment: float) -> PackedHistory:
    """Return the live history of a user at a moment from all events of before it, as feature-sync builds it."""
    live, last = LiveHistory(), 0.0
    for event in events:
        if event.known_from > moment:
            continue
        if event.received_at - last > LIVE_SECONDS:
            live = LiveHistory()
        last = event.received_at
        live = live.append(
            np.array([event.dataset_id], np.int64),
            np.array([int(event.known_from)], np.int64),
            np.array([event.kind], np.uint8),
        )
    return PackedHistory() if moment - last > LIVE_SECONDS else live.history.packed()


def _unix(value: object) -> float:
    return parse_row_moment(str(value)).timestamp()
