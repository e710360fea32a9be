"""The log of exposures: what each answer of recommender-api has shown, one row an answer.

Callers may post exposures of their own, which are events. One that repeats ours, or another one of a caller, is left
out: the same request, user, dataset and position within an hour. Ours are never left out.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import (
    JSON,
    REAL,
    BigInteger,
    Column,
    Connection,
    Index,
    SmallInteger,
    String,
    Table,
    Text,
    delete,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import ARRAY

from contracts.events import BehaviorEvent, Exposure
from feature_sync.events.pending_outcomes import note_exposures
from feature_sync.events.tables import behavior_events, metadata
from servicekit.database import UtcDateTime

SAME_EXPOSURE_WITHIN = timedelta(hours=1)

exposures = Table(
    "exposures",
    metadata,
    Column("exposure_id", String(64), primary_key=True),
    Column("ts", UtcDateTime, primary_key=True),
    Column("received_at", UtcDateTime, nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("user_id", BigInteger),
    Column("endpoint", String(32)),
    Column("model_version", String(64)),
    Column("model_variant", String(16)),
    Column("experiment_variant", String(64)),
    Column("fallback_level", SmallInteger),
    Column("dataset_ids", ARRAY(BigInteger).with_variant(JSON, "sqlite"), nullable=False),
    Column("scores", ARRAY(REAL).with_variant(JSON, "sqlite"), nullable=False),
    Column("channels", ARRAY(Text).with_variant(JSON, "sqlite"), nullable=False),
    Column("propensity", ARRAY(REAL).with_variant(JSON(none_as_null=True), "sqlite")),
    Index("exposures_user", "user_id", "ts"),
)
_ROWS = TypeAdapter(list[Exposure])
# One value for all rows, as for events.
_INSERT_JSON = text(
    """INSERT INTO events.exposures (exposure_id, ts, received_at, request_id, user_id, endpoint, model_version,
    model_variant, experiment_variant, fallback_level, dataset_ids, scores, channels, propensity)
    SELECT exposure_id, ts, :received, request_id, user_id, endpoint, model_version, model_variant, experiment_variant,
    fallback_level, dataset_ids, scores, channels, propensity
    FROM json_to_recordset(CAST(:rows AS json)) AS given(exposure_id text, ts timestamptz, request_id text,
    user_id bigint, endpoint text, model_version text, model_variant text, experiment_variant text,
    fallback_level smallint, dataset_ids bigint[], scores real[], channels text[], propensity real[])
    ON CONFLICT DO NOTHING RETURNING exposure_id"""
)


class _Place(NamedTuple):
    """A dataset at a position of an answer to a user."""

    request_id: str | None
    user_id: int
    dataset_id: int
    position: int | None


def insert_exposures(connection: Connection, given: Sequence[Exposure], received: datetime) -> None:
    """Insert our exposures, and remove the same ones of callers; existing ones are not changed."""
    _remove_callers(connection, [each for each in given if each.user_id is not None])
    if connection.dialect.name == "postgresql":
        values = {"rows": _ROWS.dump_json(list(given)).decode(), "received": received}
        new = set(connection.execute(_INSERT_JSON, values).scalars())
    else:
        known = select(exposures.c.exposure_id).where(exposures.c.exposure_id.in_([each.exposure_id for each in given]))
        new = {each.exposure_id for each in given} - set(connection.execute(known).scalars())
        rows = [{**each.model_dump(), "received_at": received} for each in given]
        connection.execute(sqlite.insert(exposures).on_conflict_do_nothing(), rows)
    note_exposures(connection, given, new)


def is_of_caller(event: BehaviorEvent) -> bool:
    """Return whether an event is a caller's exposure of an answer."""
    return event.type == "exposure" and event.request_id is not None


def without_known(connection: Connection, events: Sequence[BehaviorEvent]) -> list[BehaviorEvent]:
    """Leave out callers' exposures that are known; nobody else must insert any meanwhile."""
    asked = [event for event in events if is_of_caller(event)]
    if not asked:
        return list(events)
    users, requests, first, last = _range(asked)
    ours = exposures.c
    known: dict[_Place, list[datetime]] = {}
    found = connection.execute(
        select(ours.request_id, ours.user_id, ours.dataset_ids, ours.ts).where(
            ours.user_id.in_(users), ours.request_id.in_(requests), ours.ts.between(first, last)
        )
    )
    for request_id, user_id, dataset_ids, ts in found:
        for place in _places(request_id, user_id, dataset_ids):
            known.setdefault(place, []).append(ts)
    for row in connection.execute(_callers(users, requests, first, last)):
        place = _Place(row.request_id, row.user_id, row.dataset_id, row.position)
        known.setdefault(place, []).append(row.ts)
    kept = []
    for event in events:
        if is_of_caller(event):
            times = known.setdefault(_Place(event.request_id, event.user_id, event.dataset_id, event.position), [])
            if any(abs(event.ts - ts) <= SAME_EXPOSURE_WITHIN for ts in times):
                continue
            times.append(event.ts)
        kept.append(event)
    return kept


def _remove_callers(connection: Connection, given: Collection[Exposure]) -> None:
    callers = connection.execute(_callers(*_range(given))).all() if given else []
    # Most answers have none, and each would have two places for each of its datasets.
    requests = {row.request_id for row in callers}
    shown: dict[_Place, list[datetime]] = {}
    for each in given:
        if each.request_id in requests:
            for place in _places(each.request_id, each.user_id or 0, each.dataset_ids):
                shown.setdefault(place, []).append(each.ts)
    same = [
        (row.event_id, row.ts)
        for row in callers
        for ts in shown.get(_Place(row.request_id, row.user_id, row.dataset_id, row.position), [])
        if abs(row.ts - ts) <= SAME_EXPOSURE_WITHIN
    ]
    if same:
        key = tuple_(behavior_events.c.event_id, behavior_events.c.ts)
        connection.execute(delete(behavior_events).where(key.in_(same)))


def _places(request_id: str, user_id: int, dataset_ids: Sequence[int]) -> Iterable[_Place]:
    """Return the places of an answer; a caller may name the dataset without its position."""
    for position, dataset_id in enumerate(dataset_ids):
        yield _Place(request_id, user_id, dataset_id, position)
        yield _Place(request_id, user_id, dataset_id, None)


def _range(given: Collection[Exposure] | Collection[BehaviorEvent]) -> tuple[list[int], list[str], datetime, datetime]:
    """Return the users and requests, and the times between which the same exposures may be."""
    times = [each.ts for each in given]
    users = {each.user_id for each in given if each.user_id is not None}
    requests = {each.request_id for each in given if each.request_id is not None}
    return sorted(users), sorted(requests), min(times) - SAME_EXPOSURE_WITHIN, max(times) + SAME_EXPOSURE_WITHIN


def _callers(users: list[int], requests: list[str], first: datetime, last: datetime) -> Any:
    events = behavior_events.c
    return select(
        events.event_id, events.request_id, events.user_id, events.dataset_id, events.position, events.ts
    ).where(
        events.user_id.in_(users),
        events.request_id.in_(requests),
        events.ts.between(first, last),
        events.type == "exposure",
    )
