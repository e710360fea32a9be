"""What the log notes for attribution, in the transaction that stores it: each stored event and exposure once."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import JSON, BigInteger, Column, Connection, Integer, String, Table, insert

from contracts.events import BehaviorEvent, Exposure
from contracts.moments import CLOCK_AHEAD
from feature_sync.events.tables import metadata
from servicekit.database import UtcDateTime

# How long after an exposure an event of a type is an outcome of it.
OUTCOME_WINDOWS = MappingProxyType(
    {"click": timedelta(minutes=30), "favorite": timedelta(days=7), "purchase": timedelta(days=7)}
)
_CASES = " ".join(
    f"WHEN '{name}' THEN interval '{window.total_seconds():.0f} s'" for name, window in OUTCOME_WINDOWS.items()
)
# For PostgreSQL; null for other types.
WINDOW_SQL = f"CASE type {_CASES} END"
# Counts of this position are those of all from it on.
LAST_POSITION = 20

pending_outcomes = Table(
    "pending_outcomes",
    metadata,
    Column("event_id", String(64), primary_key=True),
    Column("ts", UtcDateTime, primary_key=True),
    Column("type", String(16), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("dataset_id", BigInteger, nullable=False),
    Column("request_id", String(128)),
    # An exposure is attributed from here, and up to `ts`; that of the event's own request up to `latest`.
    Column("earliest", UtcDateTime, nullable=False),
    Column("latest", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
)
pending_exposure_counts = Table(
    "pending_exposure_counts",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    # The beginning of the hour.
    Column("ts", UtcDateTime, nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("variant", String(16), nullable=False),
    Column("endpoint", String(32), nullable=False),
    # By position.
    Column("counts", JSON, nullable=False),
)


class Cohort(NamedTuple):
    """The exposures that are counted together: those of an hour, a model and an endpoint."""

    ts: datetime
    model_version: str
    variant: str
    endpoint: str


def cohort_of(
    ts: datetime, model_version: str | None, model_variant: str | None, experiment: str | None, endpoint: str | None
) -> Cohort:
    """Return the cohort of an exposure. Users outside of an experiment are not its control group."""
    variant = "control" if experiment == "control" else model_variant
    return Cohort(hour_of(ts), model_version or "", variant or "", endpoint or "")


def hour_of(ts: datetime) -> datetime:
    """Return the beginning of the hour."""
    return ts.replace(minute=0, second=0, microsecond=0)


def note_events(connection: Connection, events: Iterable[BehaviorEvent], received: datetime) -> None:
    """Note new events; only on SQLite, elsewhere the statement that inserts them does it."""
    rows = [
        {
            **event.model_dump(include={"event_id", "ts", "type", "user_id", "dataset_id", "request_id"}),
            "earliest": event.ts - OUTCOME_WINDOWS[event.type],
            "latest": event.ts + CLOCK_AHEAD,
            "received_at": received,
        }
        for event in events
        if event.type in OUTCOME_WINDOWS
    ]
    if rows:
        connection.execute(insert(pending_outcomes), rows)


def note_exposures(connection: Connection, given: Sequence[Exposure], new: Collection[str]) -> None:
    """Note how many datasets new exposures of users have shown, by position."""
    sums: dict[Cohort, list[int]] = defaultdict(lambda: [0] * (LAST_POSITION + 1))
    left = set(new)
    for each in given:
        if each.user_id is None or each.exposure_id not in left:
            continue
        # A batch may have an exposure twice.
        left.remove(each.exposure_id)
        counts = sums[
            cohort_of(each.ts, each.model_version, each.model_variant, each.experiment_variant, each.endpoint)
        ]
        for position in range(len(each.dataset_ids)):
            counts[min(position, LAST_POSITION)] += 1
    rows = [{**cohort._asdict(), "counts": counts} for cohort, counts in sums.items() if any(counts)]
    if rows:
        connection.execute(insert(pending_exposure_counts), rows)
