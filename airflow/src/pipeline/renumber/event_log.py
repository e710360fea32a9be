"""The event log, in one transaction that also records that it is done."""

from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    Text,
    func,
    inspect,
    make_url,
    select,
)

from contracts.ids import EntityKind
from pipeline.business.database import faults_of, open_engine
from pipeline.business.ids import TABLES
from pipeline.renumber.changes import IdChanges, follow, store_changes

_SCHEMA = "events"
_EVENTS = "behavior_events"


def open_event_log(url: SecretStr | None) -> Engine | None:
    """Return the engine of the event log, or None without one; on SQLite it is the file `<file>.events`."""
    if url is None:
        return None
    target = make_url(url.get_secret_value())
    if target.get_backend_name() != "sqlite":
        return open_engine(url.get_secret_value(), "DATABASE_URL")
    path = f"{target.database}.{_SCHEMA}"
    if not Path(path).exists():
        return None
    return open_engine(target.set(database=path).render_as_string(hide_password=False), "DATABASE_URL")


class EventCounts(NamedTuple):
    """The number of events, and by kind of those about unlisted ids, which don't change."""

    events: int
    unknown: dict[EntityKind, int]


def count_events(engine: Engine, changes: IdChanges) -> EventCounts:
    """Count the changes."""
    with faults_of("count events", "events"), engine.connect() as connection, connection.begin() as transaction:
        events = _events_table(connection)
        if events is None:
            return EventCounts(0, dict.fromkeys(TABLES, 0))
        total = connection.scalar(select(func.count()).select_from(events)) or 0
        known = _temporary(connection, changes)
        unknown: dict[EntityKind, int] = {}
        for kind in TABLES:
            old = select(known.c.old_id).where(known.c.kind == kind)
            unknown[kind] = (
                connection.scalar(select(func.count()).select_from(events).where(events.c[f"{kind}_id"].not_in(old)))
                or 0
            )
        transaction.rollback()
    return EventCounts(total, unknown)


def renumber_events(engine: Engine, changes: IdChanges) -> bool:
    """Give every event the current numbers; return whether any change was needed."""
    with faults_of("renumber", "events"), engine.begin() as connection:
        events = _events_table(connection)
        if events is None:
            return False
        done = Table("renumbered", MetaData(schema=events.schema), Column("token", String(16), primary_key=True))
        done.create(connection, checkfirst=True)
        if connection.execute(select(done.c.token).where(done.c.token == changes.token)).first() is not None:
            return False
        follow(connection, events, _temporary(connection, changes))
        connection.execute(done.insert(), {"token": changes.token})
    return True


def _events_table(connection: Connection) -> Table | None:
    schema = None if connection.dialect.name == "sqlite" else _SCHEMA
    if not inspect(connection).has_table(_EVENTS, schema=schema):
        return None
    columns = (Column(f"{kind}_id", BigInteger) for kind in TABLES)
    return Table(_EVENTS, MetaData(schema=schema), *columns)


def _temporary(connection: Connection, changes: IdChanges) -> Table:
    table = Table(
        "id_changes_of_now",
        MetaData(),
        Column("kind", String(8), primary_key=True),
        Column("old_id", BigInteger, primary_key=True, autoincrement=False),
        Column("new_id", BigInteger, nullable=False),
        Column("external_id", Text, nullable=False),
        prefixes=["TEMPORARY"],
    )
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table.name}")
    table.create(connection)
    store_changes(connection, changes, table)
    return table
