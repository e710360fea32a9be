"""The business tables, and the changes that everything else follows: one transaction for both."""

from sqlalchemy import Connection, Engine, update

from business import tables
from pipeline.business.database import faults_of
from pipeline.business.ids import TABLES, id_changes, is_renumbering, renumbering
from pipeline.business.load import create_tables
from pipeline.renumber.changes import IdChanges, find_changes, follow, store_changes, stored_changes


def changes_of(engine: Engine) -> tuple[IdChanges, bool]:
    """Return what changes, and whether the business tables have it behind them already."""
    create_tables(engine)
    with faults_of("read ids", "business"), engine.begin() as connection:
        if is_renumbering(connection):
            return stored_changes(connection), True
        return find_changes(connection), False


def renumber_tables(engine: Engine) -> IdChanges:
    """Give every row the number that its external id stands for, and return the changes.

    Begun before, this has been done, and nothing changes.
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
    """End a renumbering: everything has followed."""
    with faults_of("renumber", "business"), engine.begin() as connection:
        connection.execute(id_changes.delete())


def _follow_primary_keys(connection: Connection) -> None:
    for kind, table in TABLES.items():
        # By way of negative numbers: the new one of a row may be the old one of another.
        connection.execute(
            update(table)
            .values(id=-id_changes.c.new_id)
            .where(id_changes.c.kind == kind, id_changes.c.old_id == table.c.id)
        )
        connection.execute(update(table).values(id=-table.c.id).where(table.c.id < 0))
