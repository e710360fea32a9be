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
from pipeline.renumber.changes import IdChanges, follow, follow_key, store_changes

_SCHEMA = "events"
_EVENTS = "behavior_events"
# Those of users and datasets; a table that the database doesn't have yet is left out.
_BY_BOTH = (_EVENTS, "pending_outcomes", "outcomes")
_EXPOSURES, _WITHDRAWN = "exposures", "withdrawn_datasets"
# Each row contains numbers in a packed form, and is kept for three days only.
_SERVED = "served_features"
# Each dataset of an answer at its place. Rows without a changed dataset are not written.
_DATASETS = {
    "postgresql": """UPDATE events.exposures SET dataset_ids = ARRAY(
        SELECT coalesce(change.new_id, shown.id) FROM unnest(dataset_ids) WITH ORDINALITY AS shown(id, place)
        LEFT JOIN id_changes_of_now AS change ON change.kind = 'dataset' AND change.old_id = shown.id
        ORDER BY shown.place)
    WHERE dataset_ids && ARRAY(SELECT old_id FROM id_changes_of_now WHERE kind = 'dataset')""",
    "sqlite": """UPDATE exposures SET dataset_ids = (
        SELECT json_group_array(id) FROM (
            SELECT coalesce(change.new_id, shown.value) AS id FROM json_each(exposures.dataset_ids) AS shown
            LEFT JOIN id_changes_of_now AS change ON change.kind = 'dataset' AND change.old_id = shown.value
            ORDER BY shown.key))""",
}


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
    """Give the events, and what is kept beside them, the current numbers; return whether any change was needed."""
    with faults_of("renumber", "events"), engine.begin() as connection:
        events = _events_table(connection)
        if events is None:
            return False
        done = Table("renumbered", MetaData(schema=events.schema), Column("token", String(16), primary_key=True))
        done.create(connection, checkfirst=True)
        if connection.execute(select(done.c.token).where(done.c.token == changes.token)).first() is not None:
            return False
        known = _temporary(connection, changes)
        for name in _BY_BOTH:
            if (table := _find_table(connection, name, *TABLES)) is not None:
                follow(connection, table, known)
        _follow_exposures(connection, known)
        _follow_withdrawals(connection, known)
        if (served := _find_table(connection, _SERVED, "user")) is not None:
            connection.execute(served.delete())
        connection.execute(done.insert(), {"token": changes.token})
    return True


def _follow_exposures(connection: Connection, changes: Table) -> None:
    if (table := _find_table(connection, _EXPOSURES, "user")) is not None:
        follow(connection, table, changes)
        connection.exec_driver_sql(_DATASETS[connection.dialect.name])


def _follow_withdrawals(connection: Connection, changes: Table) -> None:
    if (table := _find_table(connection, _WITHDRAWN, "dataset")) is not None:
        follow_key(connection, table.c.dataset_id, "dataset", changes)


def _events_table(connection: Connection) -> Table | None:
    return _find_table(connection, _EVENTS, *TABLES)


def _find_table(connection: Connection, name: str, *kinds: EntityKind) -> Table | None:
    """Return a table with the columns of ids of some kinds, None if the database has no such table."""
    schema = None if connection.dialect.name == "sqlite" else _SCHEMA
    if not inspect(connection).has_table(name, schema=schema):
        return None
    return Table(name, MetaData(schema=schema), *(Column(f"{kind}_id", BigInteger) for kind in kinds))


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
