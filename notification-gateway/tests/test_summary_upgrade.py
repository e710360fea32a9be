"""An upgrade within a running hour: counts and summaries of an older release are neither lost nor repeated."""

import json
from datetime import UTC, datetime, timedelta

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from notification_gateway.storage import MIGRATIONS
from notification_gateway.tables import SCHEMA, digests, notifications, summary_entries
from running_gateway import SteppedGateway, Watch, settings
from servicekit.database import open_database

HOUR = datetime(2026, 1, 5, 12, tzinfo=UTC)


def store_as_0003(url: str) -> None:
    engine = open_database(url, SCHEMA)
    sqlite = engine.dialect.name == "sqlite"
    prefix = "" if sqlite else f"{SCHEMA}."
    with engine.begin() as connection:
        if not sqlite:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes.update(connection=connection, schema=SCHEMA)
        command.upgrade(config, "0003")

        def stored(moment: datetime) -> object:
            return f"{moment:%Y-%m-%d %H:%M:%S.%f}" if sqlite else moment

        at = stored(HOUR.replace(minute=10))
        values = {
            **dict.fromkeys(("opened_at", "first_seen", "last_seen", "last_signal_at"), at),
            "key": "k",
            "environment": "test",
            "service": "api",
            "fingerprint": '["api", "x"]',
            "monitoring_point": "api.x",
            "level": "error",
            "category": "api",
            "message": "it broke",
            "priority": "P1",
            "reason": "r",
            "state": "open",
            "occurrences": 5,
            "signals": 2,
            "request_ids": "[]",
            "tags": "{}",
            "notified": "[]",
        }
        names = ", ".join(values)
        connection.execute(
            text(f"INSERT INTO {prefix}incidents ({names}) VALUES ({', '.join(f':{name}' for name in values)})"), values
        )
        connection.execute(
            text(
                f"INSERT INTO {prefix}summary_entries "
                "(alert, channel, period_start, incident_id, occurrences, signals) "
                "VALUES ('hourly_summary', 'email', :start, 1, 5, 2)"
            ),
            {"start": stored(HOUR)},
        )
        notice = json.dumps({"title": "an earlier hour", "reference": "r"})
        connection.execute(
            text(
                f"INSERT INTO {prefix}digests (alert, channel, period_start, period_end, notice) "
                "VALUES ('hourly_summary', 'email', :start, :end, :notice)"
            ),
            {"start": stored(HOUR - timedelta(hours=1)), "end": stored(HOUR), "notice": notice},
        )
    engine.dispose()


def test_open_entries_and_summaries_of_an_older_release_are_preserved(database_url: str) -> None:
    store_as_0003(database_url)
    stepped = SteppedGateway(settings(database_url), Watch(HOUR.replace(minute=30)))
    (entry,) = stepped.rows(summary_entries)
    assert (entry["minute"], entry["occurrences"], entry["silenced"]) == (HOUR, 5, 0)
    stepped.pass_time(minutes=30)
    assert stepped.rows(summary_entries) == []
    earlier, made = stepped.rows(digests)
    assert (earlier["notice"]["title"], earlier["part"], earlier["content"]) == ("an earlier hour", 0, None)
    assert (made["content"]["occurrences"], made["part"], made["since"]) == (5, 0, HOUR)
    (message,) = stepped.rows(notifications)
    assert message["dedupe_key"] == "hourly_summary:email:2026-01-05T12:00:00+00:00"
    stepped.close()
