"""The event log in monthly partitions: how the old table becomes one, what is made ahead, and what is dropped."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine, text
from test_upgrade import migrate_to

import feature_sync
import monitoring.testing
from contracts.events import BehaviorEvent
from feature_sync.events.exposures import exposures
from feature_sync.events.log import SAME_EVENT_WITHIN, EventLog
from feature_sync.events.partitions import LogRetention
from feature_sync.events.tables import SCHEMA, behavior_events
from servicekit.database import migrate, open_database
from servicekit.database_calls import DatabaseCalls

MIGRATIONS = Path(feature_sync.__file__).parent / "migrations"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
# As the release before inserts.
INSERT = text(
    "INSERT INTO events.behavior_events (event_id, type, user_id, dataset_id, ts, received_at) "
    "VALUES (:id, 'view', 7, 11, :ts, :ts) ON CONFLICT DO NOTHING"
)


@pytest.fixture
def old_log(postgres_url: str) -> Iterator[Engine]:
    """A log of the release before."""
    engine = open_database(postgres_url, SCHEMA)
    migrate_to(engine, "0004")
    yield engine
    engine.dispose()


def _event(number: int | str, **values: Any) -> BehaviorEvent:
    given = {"event_id": f"e-{number}", "type": "view", "user_id": 7, "dataset_id": 1, "ts": NOW, **values}
    return BehaviorEvent.model_validate(given)


def _rows(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(statement)).scalars())


def _partitions(engine: Engine) -> dict[str, int]:
    query = "SELECT tableoid::regclass::text AS name, count(*) FROM events.behavior_events GROUP BY 1"
    with engine.connect() as connection:
        return {name.removeprefix("events.behavior_events_"): rows for name, rows in connection.execute(text(query))}


def _fill(engine: Engine, rows: int) -> None:
    statement = text(
        "INSERT INTO events.behavior_events (event_id, type, user_id, dataset_id, ts, received_at) SELECT 'old-' || n, "
        "'view', n % 500 + 1, n, now() - n * interval '1 minute', now() FROM generate_series(1, :rows) n"
    )
    with engine.begin() as connection:
        connection.execute(statement, {"rows": rows})


def test_the_old_table_becomes_a_partition_while_events_are_logged(old_log: Engine, postgres_url: str) -> None:
    _fill(old_log, 50_000)
    far = datetime(2099, 1, 1, tzinfo=UTC)
    role = f"reader_{time.time_ns()}"
    with old_log.begin() as connection:
        connection.execute(INSERT, {"id": "far-ahead", "ts": far})
        # An interrupted migration leaves this.
        connection.execute(text("ALTER TABLE events.behavior_events ADD CONSTRAINT behavior_events_bound CHECK (true)"))
        connection.execute(text("CREATE INDEX behavior_events_before_key ON events.behavior_events (event_id, ts)"))
        invalid = (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events.behavior_events_before_key'::regclass"
        )
        connection.execute(text(invalid))
        connection.execute(text(f"CREATE ROLE {role}"))
        connection.execute(text(f"GRANT SELECT ON events.behavior_events TO {role}"))
    stop = Event()

    def write() -> tuple[int, float]:
        engine, count, longest = open_database(postgres_url, SCHEMA), 0, 0.0
        while not stop.is_set():
            began = time.monotonic()
            with engine.begin() as connection:
                connection.execute(INSERT, {"id": f"new-{count}", "ts": datetime.now(UTC)})
            count, longest = count + 1, max(longest, time.monotonic() - began)
        engine.dispose()
        return count, longest

    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write)
        migrate(old_log, SCHEMA, MIGRATIONS)
        time.sleep(0.2)
        stop.set()
        written, longest = writing.result()
    assert written > 10
    assert longest < 2
    assert _partitions(old_log) == {"before": 50_000 + written, "default": 1}
    (may_read,) = _rows(old_log, f"SELECT has_table_privilege('{role}', 'events.behavior_events', 'SELECT')")
    assert may_read
    with old_log.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))
    indexes = _rows(old_log, "SELECT indexdef FROM pg_indexes WHERE tablename = 'behavior_events'")
    assert {each.rpartition("(")[2] for each in indexes} == {"event_id, ts)", "user_id, ts)", "received_at)"}
    # The old id again, with another time of that day, is the same event.
    (ts,) = _rows(old_log, "SELECT ts FROM events.behavior_events WHERE event_id = 'old-5'")
    EventLog(old_log).add([_event(1, event_id="old-5", ts=ts + timedelta(hours=1))])
    assert sum(_partitions(old_log).values()) == 50_001 + written


@pytest.mark.parametrize("has_old_rows", [True, False])
def test_events_that_were_set_aside_come_into_the_partitions_of_their_months(
    old_log: Engine, has_old_rows: bool
) -> None:
    """Also in a database in which the migration of the release before has failed over such an event."""
    now = datetime.now(UTC)
    months = [now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)]
    for _ in range(4):
        months.append((months[-1] + timedelta(days=32)).replace(day=1))
    with old_log.begin() as connection:
        if has_old_rows:
            connection.execute(INSERT, {"id": "old", "ts": now - timedelta(days=400)})
            connection.execute(INSERT, {"id": "not-yet-aside", "ts": months[2]})
        connection.execute(
            text("CREATE TABLE events.behavior_events_default (LIKE events.behavior_events INCLUDING DEFAULTS)")
        )
        bound = f"ADD CONSTRAINT behavior_events_bound CHECK (ts < '{months[1]}') NOT VALID"
        connection.execute(text(f"ALTER TABLE events.behavior_events {bound}"))
        aside = text(INSERT.text.replace("behavior_events ", "behavior_events_default "))
        for number, month in enumerate(months):
            connection.execute(aside, {"id": f"aside-{number}", "ts": month + timedelta(days=9)})
    migrate(old_log, SCHEMA, MIGRATIONS)
    expected = {"default": 2} | {f"{month:%Y_%m}": 1 for month in months[:3]}
    if has_old_rows:
        expected = {"before": 3, "default": 2, f"{months[2]:%Y_%m}": 2}
    assert _partitions(old_log) == expected


def test_an_id_counts_once_whatever_its_time_and_is_another_event_after_a_day(event_log: EventLog) -> None:
    engine = event_log._engine
    later, next_week = NOW + timedelta(hours=3), NOW + timedelta(days=7)
    event_log.add([_event(1), _event(1, ts=later), _event(2)])
    event_log.add([_event(1, ts=later), _event(2)], may_be_repeats=True)
    event_log.add([_event(2, ts=NOW - SAME_EVENT_WITHIN), _event(3)])
    event_log.add([_event(1, ts=next_week)])
    with engine.connect() as connection:
        found = connection.execute(behavior_events.select().order_by("event_id", "ts")).all()
    expected = [("e-1", NOW), ("e-1", next_week), ("e-2", NOW), ("e-3", NOW)]
    if engine.dialect.name == "sqlite":
        expected.remove(("e-1", next_week))
    assert [(row.event_id, row.ts) for row in found] == expected


def test_a_repeat_with_another_time_waits_for_an_event_that_is_being_inserted(postgres_log: EventLog) -> None:
    inserted, finish = Event(), Event()

    def hold(_: object) -> None:
        inserted.set()
        assert finish.wait(10)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(postgres_log.add, [_event(1)], hold)
        assert inserted.wait(10)
        repeat = pool.submit(postgres_log.add, [_event(1, ts=NOW + timedelta(minutes=1))], may_be_repeats=True)
        time.sleep(0.3)
        finish.set()
        first.result()
        repeat.result()
    assert _rows(postgres_log._engine, "SELECT ts FROM events.behavior_events") == [NOW]


@pytest.mark.anyio
async def test_months_are_made_ahead_and_dropped_when_all_of_them_is_too_old(event_log: EventLog) -> None:
    # 90 days before 50 days later lies early in the month after that of the stray event, whatever day it is.
    today = datetime.now(UTC).replace(day=15, hour=12)
    engine, now = event_log._engine, [today]
    calls = DatabaseCalls(engine, 20)
    retention = LogRetention(engine, calls, [behavior_events], 90, lambda: now[0])
    times = {"new": today, "stray": today - timedelta(days=60), "old": today - timedelta(days=200)}
    event_log.add([_event(name, ts=ts) for name, ts in times.items()])
    await retention.step()
    is_sqlite = engine.dialect.name == "sqlite"
    names = "SELECT event_id FROM " + ("behavior_events" if is_sqlite else "events.behavior_events")
    assert set(_rows(engine, names)) == {"e-new", "e-stray"}
    if not is_sqlite:
        months = {f"{times[name]:%Y_%m}": 1 for name in ("new", "stray")}
        assert _partitions(engine) == months
    await retention.step()
    now[0] += timedelta(days=50)
    await retention.step()
    assert _rows(engine, names) == ["e-new"]
    if not is_sqlite:
        made = _rows(
            engine,
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events.behavior_events'::regclass",
        )
        ahead = (now[0].replace(day=1) + timedelta(days=62)).strftime("%Y_%m")
        assert f"events.behavior_events_{ahead}" in made
        assert f"events.behavior_events_{times['stray']:%Y_%m}" not in made
    calls.close()


@pytest.mark.anyio
async def test_what_fails_for_one_month_stops_neither_others_nor_other_tables_and_much_is_moved_in_portions(
    postgres_log: EventLog,
) -> None:
    engine, now = postgres_log._engine, datetime.now(UTC)
    calls = DatabaseCalls(engine, 20)
    retention = LogRetention(engine, calls, [behavior_events, exposures], 200, rows_per_portion=100)
    first = (now.replace(day=1) - timedelta(days=45)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    stray = f"{first:%Y_%m}"
    old = datetime(now.year - 1, 1, 1, tzinfo=UTC)
    postgres_log.add([_event(n, ts=first + timedelta(hours=n)) for n in range(450)])
    # All of one moment are moved together.
    postgres_log.add([_event(n, ts=first + timedelta(hours=450)) for n in range(450, 700)])
    postgres_log.add([_event("now", ts=now)])
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE events.behavior_events_old PARTITION OF events.behavior_events "
                f"FOR VALUES FROM ('{old}') TO ('{old + timedelta(days=9)}')"
            )
        )
        for statement in (
            "CREATE FUNCTION events.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'held'; END $$",
            """CREATE TRIGGER hold BEFORE DELETE ON events.behavior_events_default FOR EACH ROW
            WHEN (old.event_id = 'e-3') EXECUTE FUNCTION events.hold()""",
        ):
            connection.execute(text(statement))
    with monitoring.testing.captured() as captured:
        await retention.step()
        assert {each.tags["operation"] for each in captured.of("pipeline.database")} == {"look_after_partitions"}
        months = _partitions(engine)
        assert (months.pop("default"), sum(months.values())) == (700, 1)
        made = _rows(engine, "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
        assert "behavior_events_old" not in made
        assert len([name for name in made if name.startswith("exposures_2")]) == 3
        with engine.begin() as connection:
            connection.execute(text("DROP TRIGGER hold ON events.behavior_events_default"))
        await retention.step()
    assert [each.point_id for each in captured.recovered] == ["pipeline.database"]
    months = _partitions(engine)
    assert "default" not in months
    counts = [rows for name, rows in sorted(months.items()) if name.startswith(stray)]
    assert (sum(counts), counts[0], len(counts)) == (700, 101, 6)
    calls.close()
