"""A database of the release before, with data, is brought to this one and loses nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from notification_gateway.storage import MIGRATIONS, Storage
from notification_gateway.tables import SCHEMA, incidents, notifications, signals
from running_gateway import SteppedGateway, Watch, settings, signal
from servicekit.database import open_database

THEN = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


def at_revision(url: str, revision: str) -> None:
    engine = open_database(url, SCHEMA)
    with engine.begin() as connection:
        if connection.dialect.name != "sqlite":
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"], config.attributes["schema"] = connection, SCHEMA
        command.upgrade(config, revision)
        _insert_incident(connection)
    engine.dispose()


def _insert_incident(connection: Connection) -> None:
    """Insert an open P0 whose message was sent in the night, as the release before stored it."""
    table = "incidents" if connection.dialect.name == "sqlite" else f"{SCHEMA}.incidents"
    times = dict.fromkeys(("opened_at", "first_seen", "last_seen", "last_signal_at", "told_at"), THEN)
    values = times | {
        "key": "k",
        "environment": "test",
        "service": "model-registry",
        "fingerprint": '["model", "deployment_failed"]',
        "monitoring_point": "model.deployment_failed",
        "level": "error",
        "category": "model",
        "message": "it broke",
        "priority": "P0",
        "rule": "Critical Failures",
        "reason": "rule",
        "state": "open",
        "occurrences": 3,
        "signals": 2,
        "request_ids": "[]",
        "tags": "{}",
        "notified": '["weixin"]',
    }
    names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)


def test_an_open_incident_continues_after_the_upgrade(database_url: str) -> None:
    at_revision(database_url, "0003")
    watch = Watch(THEN + timedelta(hours=5))
    stepped = SteppedGateway(settings(database_url), watch)
    (incident,) = stepped.rows(incidents)
    assert (incident["occurrences"], incident["last_notified_at"], incident["episode"]) == (3, THEN, "")
    stepped.pass_time(minutes=1)
    assert {row["kind"] for row in stepped.rows(notifications)} == {"escalated"}
    stepped.pass_time(hours=4)
    assert {row["kind"] for row in stepped.rows(notifications)} == {"reminded", "escalated"}
    stepped.fire(signal(at=watch.now, kind="recovered", monitoring_point="model.deployment_failed"))
    assert [row["state"] for row in stepped.rows(incidents)] == ["resolved"]
    assert len(stepped.rows(signals)) == 1
    stepped.close()


def test_the_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    storage = Storage(f"sqlite:///{tmp_path}/recsys.db")
    storage.migrate()
    with storage.read() as connection:
        for table in incidents.metadata.sorted_tables:
            rows = connection.execute(text(f"PRAGMA table_info({table.name})")).all()
            assert {row[1] for row in rows} == {column.name for column in table.columns}, table.name
    storage.close()
