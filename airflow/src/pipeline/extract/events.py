"""The behaviour event log of feature-sync."""

from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from business import BusinessDatabase, Statement, open_business_database
from pipeline.extract.faults import reading

SCHEMA = "events"
_TABLE = "behavior_events"
# Exposures are left out: they are not an interest.
_COLUMNS = "user_id, dataset_id, type, NULL AS price, ts"


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


def events_statement(log: BusinessDatabase) -> Statement | None:
    """Return the statement that reads the events, or None while their table doesn't exist."""
    schema = None if log.dialect == "sqlite" else SCHEMA
    if _TABLE not in log.relations(schema):
        return None
    name = _TABLE if schema is None else f"{schema}.{_TABLE}"
    return Statement(f"SELECT {_COLUMNS} FROM {name} WHERE type <> 'exposure'", f"table {name}")  # noqa: S608 - our own names


def _open(url: str) -> BusinessDatabase:
    with reading("events"):
        return open_business_database(url, "DATABASE_URL")
