"""The behaviour event log of feature-sync."""

from datetime import UTC, timedelta
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from business import BusinessDatabase, Statement, open_business_database
from pipeline.extract.faults import reading
from pipeline.extract.incremental import DaySource
from pipeline.extract.log_tables import SCHEMA, relations_of, table_name

# `received_at` is set before the event is committed, by a machine with another clock. An event that becomes visible
# later than this is found by the weekly comparison.
EVENTS_SETTLE_AFTER = timedelta(hours=1)
_TABLE = "behavior_events"
_FORGOTTEN = "forgotten_users"
# Exposures are left out: they are not an interest.
_COLUMNS = "user_id, dataset_id, type, NULL AS price, ts, received_at"


def open_event_log(url: SecretStr | None) -> BusinessDatabase | None:
    """Return the event log, or None without one; on SQLite it is the file `<file>.events`."""
    if url is None:
        return None
    address = url.get_secret_value()
    if not address.startswith("sqlite"):
        return _open(address)
    try:
        target = make_url(address)
    except ArgumentError:
        return _open(address)
    path = f"{target.database}.{SCHEMA}"
    return _open(target.set(database=path).render_as_string(hide_password=False)) if Path(path).exists() else None


def events_source(log: BusinessDatabase) -> DaySource | None:
    """Return the events by the day on which they were received, or None while their table doesn't exist.

    Events are only ever added, so all days but the last are settled. Only those of forgotten users are removed.
    """
    relations = relations_of(log)
    if _TABLE not in relations:
        return None
    name = table_name(log.dialect, _TABLE)
    statement = Statement(f"SELECT {_COLUMNS} FROM {name} WHERE type <> 'exposure'", f"table {name}")  # noqa: S608 - our own names
    removals = _last_mark(log, table_name(log.dialect, _FORGOTTEN)) if _FORGOTTEN in relations else 0
    return DaySource("events", log, statement, UTC, "received_at", EVENTS_SETTLE_AFTER, removals)


def _last_mark(log: BusinessDatabase, name: str) -> int:
    """Return the number of the last mark of a forgotten user, 0 without one."""
    statement = Statement(f"SELECT COALESCE(MAX(number), 0) AS number FROM {name}", f"table {name}")  # noqa: S608 - our own name
    return int(next(row[0] for batch in log.rows(statement) for row in batch))


def _open(url: str) -> BusinessDatabase:
    with reading("events"):
        return open_business_database(url, "DATABASE_URL")
