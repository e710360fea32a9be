"""The business tables, and the list of changes that the other stores apply: both in one transaction."""

from sqlalchemy import Connection, Engine

from business import tables
from pipeline.business.database import faults_of
from pipeline.business.ids import TABLES, id_changes, is_renumbering, renumbering
from pipeline.business.load import create_tables
from pipeline.renumber.changes import IdChanges, find_changes, follow, follow_key, store_changes, stored_changes


def changes_of(engine: Engine) -> tuple[IdChanges, bool]:
    """Return the changes, and whether the business tables already have them."""
    create_tables(engine)
    with faults_of("read ids", "business"), engine.begin() as connection:
        if is_renumbering(connection):
            return stored_changes(connection), True
        return find_changes(connection), False


def renumber_tables(engine: Engine) -> IdChanges:
    """Give every row the number for which its external id stands, and return the changes.

    If a renumbering was started before, this step is already done and nothing changes.
    """
    with faults_of("renumber", "business"), engine.begin() as connection:
        if is_renumbering(connection):
            return stored_changes(connection)
        changes = find_changes(connection)
        renumbering.create_all(connection)
        store_changes(connection, changes)
        follow(connection, tables.interactions)
        _follow_primary_keys(connection)
    return changes


def forget_changes(engine: Engine) -> None:
    """Finish a renumbering: all stores have applied the changes."""
    with faults_of("renumber", "business"), engine.begin() as connection:
        connection.execute(id_changes.delete())


def _follow_primary_keys(connection: Connection) -> None:
    for kind, table in TABLES.items():
        follow_key(connection, table.c.id, kind)
