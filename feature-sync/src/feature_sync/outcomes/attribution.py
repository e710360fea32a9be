"""Attributes events to exposures, each once: taking the pending ones and writing the outcomes is one transaction."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    any_,
    case,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite

from feature_sync.events.exposures import exposures
from feature_sync.events.pending_outcomes import (
    LAST_POSITION,
    Cohort,
    cohort_of,
    hour_of,
    pending_exposure_counts,
    pending_outcomes,
)
from feature_sync.outcomes.tables import NOWHERE, SUM_OF, SUMS, outcome_hours, outcomes

_COPIED = ("event_id", "ts", "type", "user_id", "dataset_id", "exposure_id")
# Of events, and of sums that a batch of the log has noted.
BATCH = 1000
# Of a user's exposures in the window of an event, so many of the newest are looked at.
MAX_EXPOSURES = 2000
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('recsys.events.outcomes'))"


class Place(NamedTuple):
    """A position in the answers of a cohort."""

    cohort: Cohort
    position: int


def _nowhere(ts: datetime) -> Place:
    """Return the place of outcomes that belong to no exposure."""
    return Place(Cohort(hour_of(ts), "", "", ""), NOWHERE)


@dataclass
class Attributed:
    """What a call has counted: sums by place and name, and events by type and result; `is_all` if nothing is left."""

    sums: dict[Place, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    is_all: bool = True


class Attribution:
    """Attributes what the log has stored for `settle_seconds`: an exposure may be logged after its click."""

    def __init__(self, engine: Engine, settle_seconds: float, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._settle = timedelta(seconds=settle_seconds)
        self._now = now

    def count_exposures(self) -> Attributed:
        """Add a batch of exposures to the sums; see `attribute`."""
        done = Attributed()
        with self._engine.begin() as connection:
            if not _lock(connection):
                return done
            counts = self._take_counts(connection)
            for row in counts:
                cohort = Cohort(row.ts, row.model_version, row.variant, row.endpoint)
                for position, count in enumerate(row.counts):
                    if count:
                        done.sums[Place(cohort, position)]["exposures"] += count
            _add_sums(connection, done.sums)
        done.is_all = len(counts) < BATCH
        return done

    def attribute(self, batch: int = BATCH) -> Attributed:
        """Attribute a batch; raises an error of SQLAlchemy, and then nothing is done. One worker at a time does it."""
        done = Attributed()
        with self._engine.begin() as connection:
            if not _lock(connection):
                return done
            events = self._take_events(connection, batch)
            _attribute(connection, events, done)
            _add_sums(connection, done.sums)
        done.is_all = len(events) < batch
        return done

    def oldest_due(self) -> datetime | None:
        """Return since when the oldest pending event could be attributed, None without one."""
        with self._engine.begin() as connection:
            received = connection.execute(select(func.min(pending_outcomes.c.received_at))).scalar_one()
        return None if received is None else received + self._settle

    def _take_counts(self, connection: Connection) -> Sequence[Row[Any]]:
        table = pending_exposure_counts
        found = connection.execute(select(table).order_by(table.c.id).limit(BATCH)).all()
        connection.execute(delete(table).where(table.c.id.in_([row.id for row in found])))
        return found

    def _take_events(self, connection: Connection, batch: int) -> Sequence[Row[Any]]:
        """Take events in the order of their times, each with the exposure that it belongs to, None without one."""
        waiting, shown = pending_outcomes.alias("waiting"), exposures.alias("shown")
        # A removal of the user holds its rows; they are gone when it ends.
        due = (
            select(pending_outcomes.c.event_id, pending_outcomes.c.ts)
            .where(pending_outcomes.c.received_at <= self._now() - self._settle)
            .order_by(pending_outcomes.c.received_at)
            .limit(batch)
            .with_for_update(skip_locked=True)
        )
        keys = [tuple(row) for row in connection.execute(due)]
        if not keys:
            return []
        is_of_request = case((shown.c.request_id == waiting.c.request_id, 1), else_=0)
        # The index ends here: what follows is read row by row, and a user may have millions.
        newest = (
            select(shown.c.exposure_id, shown.c.ts, shown.c.dataset_ids, is_of_request.label("is_of_request"))
            .where(shown.c.user_id == waiting.c.user_id, shown.c.ts.between(waiting.c.earliest, waiting.c.latest))
            .order_by(shown.c.ts.desc())
            .limit(MAX_EXPOSURES)
            .correlate(waiting)
            .subquery("newest")
        )
        # The caller's clock may be behind ours.
        exposure_id = (
            select(newest.c.exposure_id)
            .where(_has_shown(connection), or_(newest.c.is_of_request == 1, newest.c.ts <= waiting.c.ts))
            .order_by(newest.c.is_of_request.desc(), newest.c.ts.desc(), newest.c.exposure_id)
            .limit(1)
            .correlate(waiting)
            .scalar_subquery()
        )
        taken = tuple_(waiting.c.event_id, waiting.c.ts).in_(keys)
        query = select(waiting, exposure_id.label("exposure_id")).where(taken)
        events = connection.execute(query.order_by(waiting.c.ts, waiting.c.event_id)).all()
        key = tuple_(pending_outcomes.c.event_id, pending_outcomes.c.ts)
        connection.execute(delete(pending_outcomes).where(key.in_(keys)))
        return events


def _lock(connection: Connection) -> bool:
    return connection.dialect.name != "postgresql" or bool(connection.execute(text(_LOCK)).scalar_one())


def _has_shown(connection: Connection) -> ColumnElement[bool]:
    if connection.dialect.name == "postgresql":
        shown = literal_column("newest.dataset_ids", exposures.c.dataset_ids.type)
        return literal_column("waiting.dataset_id") == any_(shown)
    return text("EXISTS (SELECT 1 FROM json_each(newest.dataset_ids) WHERE value = waiting.dataset_id)")  # type: ignore[return-value]  # a condition


def _attribute(connection: Connection, events: Sequence[Row[Any]], done: Attributed) -> None:
    shown = _exposures(connection, events)
    ids = list(shown)
    known = select(outcomes.c.exposure_id, outcomes.c.position, outcomes.c.type).where(outcomes.c.exposure_id.in_(ids))
    counted = {tuple(row) for row in connection.execute(known)} if ids else set()
    new = []
    for event in events:
        if (exposure := shown.get(event.exposure_id)) is None:
            done.events[event.type, "unattributed"] += 1
            done.sums[_nowhere(event.ts)][SUM_OF[event.type]] += 1
            continue
        position = exposure.dataset_ids.index(event.dataset_id)
        outcome = (event.exposure_id, position, event.type)
        if outcome in counted:
            done.events[event.type, "repeated"] += 1
            continue
        counted.add(outcome)
        done.events[event.type, "attributed"] += 1
        cohort = cohort_of(
            exposure.ts,
            exposure.model_version,
            exposure.model_variant,
            exposure.experiment_variant,
            exposure.endpoint,
        )
        done.sums[Place(cohort, min(position, LAST_POSITION))][SUM_OF[event.type]] += 1
        new.append({"position": position, **{name: getattr(event, name) for name in _COPIED}})
    if new:
        connection.execute(insert(outcomes), new)


def _exposures(connection: Connection, events: Sequence[Row[Any]]) -> Mapping[str, Row[Any]]:
    ids = {event.exposure_id for event in events if event.exposure_id is not None}
    if not ids:
        return {}
    times = [event for event in events if event.exposure_id is not None]
    query = select(exposures).where(
        and_(
            exposures.c.exposure_id.in_(sorted(ids)),
            exposures.c.ts.between(min(each.earliest for each in times), max(each.latest for each in times)),
        )
    )
    return {row.exposure_id: row for row in connection.execute(query)}


def _add_sums(connection: Connection, sums: Mapping[Place, Counter[str]]) -> None:
    if not sums:
        return
    kind = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = kind.insert(outcome_hours)
    adding = statement.on_conflict_do_update(
        index_elements=list(outcome_hours.primary_key.columns),
        set_={name: outcome_hours.c[name] + statement.excluded[name] for name in SUMS},
    )
    rows = [
        {**place.cohort._asdict(), "position": place.position, **{name: counts[name] for name in SUMS}}
        for place, counts in sums.items()
    ]
    connection.execute(adding, rows)
