"""Entries that cannot be processed become dead letters, each once; a database outage creates none."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ResponseError
from sqlalchemy import select, text
from stream_worker import Worker

import feature_sync
import monitoring.testing
from contracts import redis_keys
from contracts.events import BehaviorEvent
from contracts.user_blob import LiveHistory
from feature_sync.events.consumer import TAKEOVER_CHECK_SECONDS
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import EventLog
from feature_sync.events.stream import ConsumerGroup, Reading
from feature_sync.events.suspects import RETRY_SECONDS
from feature_sync.events.tables import SCHEMA, behavior_events
from localservers.ports import Ports
from localservers.waiting import wait_until
from servicekit.database import migrate, open_database
from testkit.postgres import PostgresServer, running_server
from testkit.redis_server import changed_settings

pytestmark = pytest.mark.anyio
MIGRATIONS = Path(feature_sync.__file__).parent / "migrations"
NOW = datetime.now(UTC).replace(microsecond=0)


def _body(number: int, **values: Any) -> dict[str, Any]:
    given = {"event_id": f"e-{number}", "type": "view", "user_id": number % 50 + 1, "dataset_id": number}
    return {**given, "ts": NOW.isoformat(), **values}


def _fields(number: int, **values: Any) -> dict[Any, Any]:
    return {"event": json.dumps(_body(number, **values))}


# Each takes a number of its own and returns an entry that can never be processed.
KINDS: dict[str, Callable[[int], dict[Any, Any]]] = {
    "not JSON": lambda number: {"event": f'{{"event_id": "e-{number}'},
    "wrong field names": lambda number: {"evnt": json.dumps(_body(number))},
    "not a number": lambda number: {"event": json.dumps(_body(number, dataset_id=float("nan")))},
    "not UTF-8": lambda number: {"event": json.dumps(_body(number)).encode().replace(b"view", b"vi\xff\xfew")},
    "huge": lambda number: {"event": json.dumps(_body(number, request_id="x" * 1_000_000))},
    "the end of the calendar": lambda number: _fields(number, ts="9999-12-31T23:59:59-14:00"),
    "its beginning": lambda number: _fields(number, ts="0001-01-01T00:00:00+14:00"),
    "an id past 64 bits": lambda number: _fields(number, dataset_id=2**63 + number),
    "half a surrogate": lambda number: _fields(number, request_id="\ud83d"),
    "a NUL": lambda number: _fields(number, request_id="a\0b"),
}


class Case(Worker):
    """A worker, and what a test sends and finds."""

    def __init__(self, redis: AsyncRedis, plain: Redis, redis_url: str, log: EventLog, **options: Any) -> None:
        super().__init__(redis, redis_url, log, **options)
        self.redis = redis
        self.plain = plain
        self.event_log = log

    def send(self, entries: Sequence[dict[Any, Any]]) -> None:
        pipeline = self.plain.pipeline(transaction=False)
        for fields in entries:
            pipeline.xadd(redis_keys.EVENT_STREAM, fields)
        pipeline.execute()

    async def round(self, times: int = 1) -> None:
        for _ in range(times):
            await self.live.step()
            for _ in range(4):
                await self.log.step()
            await self.retention.trim()
            self.now += RETRY_SECONDS

    async def run_dry(self) -> None:
        async with asyncio.timeout(120):
            while self.plain.xlen(redis_keys.EVENT_STREAM):
                await self.round()

    def logged(self) -> set[str]:
        with self.event_log._engine.connect() as connection:
            return set(connection.execute(select(behavior_events.c.event_id)).scalars())

    def in_live(self) -> set[int]:
        found: set[int] = set()
        for key in self.plain.keys("live:u:*"):
            found.update(LiveHistory.unpack(self.plain.get(key)).history.ids.tolist())
        return found

    def dead(self) -> list[str]:
        return [fields[b"error"].decode() for _, fields in self.plain.xrange(redis_keys.DEAD_LETTERS)]

    def execute(self, *statements: str) -> None:
        with self.event_log._engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))


@pytest.fixture
def case(redis: AsyncRedis, plain: Redis, redis_url: str, postgres_log: EventLog) -> Case:
    return Case(redis, plain, redis_url, postgres_log)


def _trigger(case: Case, condition: str, state: str) -> None:
    """Make PostgreSQL reject rows for a reason of its own."""
    case.execute(
        f"""CREATE OR REPLACE FUNCTION events.refuse() RETURNS trigger AS $$
        BEGIN IF {condition} THEN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END IF; RETURN NEW; END
        $$ LANGUAGE plpgsql""",
        "DROP TRIGGER IF EXISTS refuse ON events.behavior_events",
        "CREATE TRIGGER refuse BEFORE INSERT ON events.behavior_events FOR EACH ROW EXECUTE FUNCTION events.refuse()",
    )


async def test_of_a_thousand_events_with_twenty_poison_entries_exactly_those_become_dead_letters(
    case: Case,
) -> None:
    entries = [_fields(number) for number in range(1, 1001)]
    poison = [make(10_000 + number) for number, make in enumerate([*KINDS.values()] * 2)]
    chance = random.Random(42)
    for each in poison:
        entries.insert(chance.randrange(len(entries)), each)
    case.send(entries)
    with monitoring.testing.captured() as reports:
        await case.run_dry()
    good = range(1, 1001)
    assert case.logged() == {f"e-{number}" for number in good}
    assert case.in_live() == set(good)
    assert len(case.dead()) == 20
    assert len({fields[b"entry"] for _, fields in case.plain.xrange(redis_keys.DEAD_LETTERS)}) == 20
    assert {report.tags["check_name"] for report in reports} == {"stream_entry"}


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ("CHECK", "CheckViolation"),
        ("P0001", "refused"),
        ("22003", "refused"),
    ],
)
async def test_a_row_that_the_database_rejects_becomes_a_dead_letter_after_three_deliveries(
    case: Case, refusal: str, reason: str
) -> None:
    if refusal == "CHECK":
        case.execute("ALTER TABLE events.behavior_events ADD CONSTRAINT sane CHECK (dataset_id <> 300)")
    else:
        _trigger(case, "NEW.dataset_id = 300", refusal)
    case.send([_fields(number) for number in range(1, 501)])
    await case.round()
    assert len(case.logged()) == 499, "the others don't wait for it"
    assert case.dead() == []
    await case.round(2)
    (why,) = case.dead()
    assert why.startswith("event log: EventsNotTakenError:")
    assert ("sane" if refusal == "CHECK" else reason) in why
    assert case.plain.xlen(redis_keys.EVENT_STREAM) == 0


async def test_many_consecutive_rejected_rows_are_isolated_as_well(case: Case) -> None:
    _trigger(case, "NEW.dataset_id BETWEEN 100 AND 199", "P0001")
    case.send([_fields(number) for number in range(100, 301)])
    await case.run_dry()
    assert (len(case.logged()), len(case.dead())) == (101, 100)


@pytest.mark.parametrize(
    "state",
    ["53100", "55P03", "57P01", "25006", "42501", "P0001"],
)
async def test_while_the_database_accepts_nothing_no_failure_is_counted(case: Case, state: str) -> None:
    _trigger(case, "TRUE", state)
    case.send([_fields(number) for number in range(1, 101)])
    with monitoring.testing.captured() as reports:
        await case.round(5)
    assert (case.dead(), case.logged(), len(case.in_live())) == ([], set(), 100)
    assert reports.of("pipeline.database")
    case.execute("DROP TRIGGER refuse ON events.behavior_events")
    await case.run_dry()
    assert (len(case.logged()), case.dead()) == (100, [])


async def test_with_the_table_missing_locked_or_read_only_no_failure_is_counted(case: Case) -> None:
    case.send([_fields(number) for number in range(1, 101)])
    database = case.event_log._engine.url.database
    for harm, repair in (
        (
            "ALTER TABLE events.behavior_events RENAME TO elsewhere",
            "ALTER TABLE events.elsewhere RENAME TO behavior_events",
        ),
        (
            f"ALTER DATABASE {database} SET default_transaction_read_only = on",
            f"SET default_transaction_read_only = off; ALTER DATABASE {database} RESET default_transaction_read_only",
        ),
    ):
        case.execute(harm)
        case.event_log._engine.dispose()
        await case.round(5)
        assert (case.dead(), case.plain.xlen(redis_keys.EVENT_STREAM)) == ([], 100)
        with case.event_log._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in repair.split("; "):
                connection.execute(text(statement))
        case.event_log._engine.dispose()
    await case.run_dry()
    assert (len(case.logged()), case.dead()) == (100, [])


async def test_live_features_continue_while_the_database_hangs(case: Case) -> None:
    _trigger(case, "pg_sleep(2) IS NOT NULL", "57014")
    case.send([_fields(number) for number in range(1, 4)])
    await case.live.step()
    hanging = asyncio.create_task(case.log.step())
    for number in range(4, 8):
        case.send([_fields(number)])
        async with asyncio.timeout(1):
            await case.live.step()
        assert number in case.in_live()
    assert not hanging.done()
    await hanging
    assert case.dead() == []


async def test_a_value_of_another_type_under_the_keys_of_live_features_is_replaced(case: Case) -> None:
    case.plain.rpush(redis_keys.live_history(7), "foreign")
    for name in ("state", "next", "slices:1"):
        case.plain.set(redis_keys.hot_part("1h", name), "foreign")
    case.send([_fields(1, user_id=7), _fields(2)])
    await case.run_dry()
    assert (case.in_live(), case.logged(), case.dead()) == ({1, 2}, {"e-1", "e-2"}, [])


@pytest.mark.parametrize("error", [OverflowError("too late"), ResponseError("ERR of all things"), KeyError("a bug")])
async def test_an_entry_that_live_features_cannot_store_blocks_no_other(case: Case, error: Exception) -> None:
    class Refusing(LiveFeatures):
        async def apply(self, events: Sequence[BehaviorEvent]) -> int:
            if any(event.dataset_id == 200 for event in events):
                raise error
            return await super().apply(events)

    case.live_store._live = Refusing(case.redis, time.time)
    case.send([_fields(number) for number in range(1, 301)])
    await case.round()
    assert case.in_live() == case_without(200)
    assert case.logged() == {f"e-{number}" for number in range(1, 301)}, "the log doesn't depend on live features"
    if isinstance(error, KeyError):
        # Only the other entries of its batch show that this entry is at fault: alone it is retried forever.
        assert case.dead() == []
        return
    await case.run_dry()
    (why,) = case.dead()
    assert why.startswith(f"live features: {type(error).__name__}: ")
    assert why.startswith("live features: ")


def case_without(number: int) -> set[int]:
    return set(range(1, 301)) - {number}


async def test_a_bug_that_fails_all_events_makes_no_dead_letter(case: Case) -> None:
    class Broken(LiveFeatures):
        async def apply(self, events: Sequence[BehaviorEvent]) -> int:
            raise TypeError("a bug")

    sound, case.live_store._live = case.live_store._live, Broken(case.redis, time.time)
    case.send([_fields(number) for number in range(1, 31)])
    for _ in range(5):
        with pytest.raises(TypeError):
            await case.live.step()
    case.live_store._live = sound
    await case.run_dry()
    assert (len(case.logged()), len(case.in_live()), case.dead()) == (30, 30, [])


async def test_a_time_outside_of_live_histories_range_is_rejected(case: Case) -> None:
    early = datetime(1969, 1, 1, tzinfo=UTC)
    event = BehaviorEvent.model_construct(event_id="e-1", type="view", user_id=1, dataset_id=1, ts=early)
    with pytest.raises(OverflowError, match="1970 to 2106"):
        await case.live_store._live.apply([event])


async def test_while_redis_rejects_writes_no_failure_is_counted(case: Case) -> None:
    case.send([_fields(number) for number in range(1, 30)])
    await case.live._group.prepare()
    with changed_settings(case.plain, {"maxmemory-policy": "noeviction", "maxmemory": 1}):
        for _ in range(5):
            await case.live.step()
            case.now += RETRY_SECONDS
    await case.run_dry()
    assert (len(case.logged()), len(case.in_live()), case.dead()) == (29, 29, [])


async def test_dead_letters_are_limited_and_dropped_ones_are_counted_and_reported(
    redis: AsyncRedis, plain: Redis, redis_url: str, postgres_log: EventLog
) -> None:
    case = Case(redis, plain, redis_url, postgres_log, most=5)
    case.send([{"event": "no JSON"} for _ in range(8)])
    with monitoring.testing.captured() as reports:
        await case.run_dry()
    assert len(case.dead()) == 5
    assert b"sync_dead_letters_dropped_total 3.0" in case.metrics.exposition()
    assert [report.tags["check_name"] for report in reports] == ["stream_entry", "dead_letters_dropped"]


async def test_an_entry_becomes_a_dead_letter_once_if_the_worker_dies_before_it_is_acknowledged(
    case: Case, redis: AsyncRedis
) -> None:
    class Dying(ConsumerGroup):
        async def done(self, ids: Sequence[bytes]) -> None:
            raise SystemExit

    case.send([{"event": "no JSON"}])
    living, case.live._group = case.live._group, Dying(redis, redis_keys.EVENT_STREAM, "live", Reading("one", 500))
    await living.prepare()
    with pytest.raises(SystemExit):
        await case.live.step()
    assert (len(case.dead()), case.plain.xlen(redis_keys.EVENT_STREAM)) == (1, 1)
    case.live._group = living
    await case.run_dry()
    assert len(case.dead()) == 1


async def test_an_entry_is_one_dead_letter_however_many_workers_and_groups_reject_it(
    case: Case, redis: AsyncRedis, plain: Redis, redis_url: str, postgres_log: EventLog
) -> None:
    _trigger(case, "NEW.dataset_id = 2", "22003")
    workers = [
        Case(redis, plain, redis_url, postgres_log, name=f"worker-{number}", takeover_seconds=0.0)
        for number in range(3)
    ]
    case.send([{"event": "no JSON"}, _fields(1), _fields(2)])
    for _ in range(12):
        # With no time to takeover, each worker claims the entries that another one has taken.
        for each in workers:
            await each.live.step()
            await each.log.step()
            each.now += TAKEOVER_CHECK_SECONDS
    await workers[0].run_dry()
    entries = [fields[b"entry"] for _, fields in case.plain.xrange(redis_keys.DEAD_LETTERS)]
    assert len(entries) == len(set(entries)) == 2


async def test_an_entry_of_thousands_of_fields_becomes_a_shortened_dead_letter(case: Case) -> None:
    case.send([{f"field {number}": "x" for number in range(9000)}, _fields(1)])
    await case.run_dry()
    assert (len(case.dead()), case.in_live()) == (1, {1})


async def test_another_type_under_the_key_of_the_dead_letters_is_replaced(case: Case) -> None:
    case.plain.set(redis_keys.DEAD_LETTERS, "foreign")
    case.send([{"event": "no JSON"}, _fields(1)])
    await case.run_dry()
    assert (len(case.dead()), case.in_live()) == (1, {1})


async def test_an_entry_whose_content_was_deleted_is_not_a_dead_letter(case: Case) -> None:
    case.send([_fields(1), _fields(2)])
    for group in (case.live._group, case.log._group):
        await group.prepare()
        assert len(await group.take()) == 2
    ((entry, _),) = case.plain.xrange(redis_keys.EVENT_STREAM, count=1)
    case.plain.xdel(redis_keys.EVENT_STREAM, entry)
    await case.round()
    assert (case.logged(), case.dead()) == ({"e-2"}, [])
    for group in (redis_keys.LIVE_GROUP, redis_keys.LOG_GROUP):
        assert case.plain.xpending(redis_keys.EVENT_STREAM, group)["pending"] == 0


@contextmanager
def _worker(redis_url: str, database_url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker of its own, as the stack runs it."""
    environment = {
        **os.environ,
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "PORT": str(Ports.free().api),
        "CONSUMER_NAME": "the-same-again",
    }
    process = subprocess.Popen([sys.executable, "-m", "feature_sync"], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_a_kill_at_any_moment_loses_nothing_and_repeats_no_dead_letter(
    case: Case, redis_url: str, postgres_url: str
) -> None:
    _trigger(case, "NEW.dataset_id % 100 = 0", "P0001")
    entries = [_fields(number) for number in range(1, 801)]
    poison = [make(10_000 + number) for number, make in enumerate([*KINDS.values()] * 4)]
    chance = random.Random(7)
    for each in poison:
        entries.insert(chance.randrange(len(entries)), each)
    for part in range(3):
        case.send(entries[part::3])
        before = case.plain.xlen(redis_keys.EVENT_STREAM)
        with _worker(redis_url, postgres_url):
            wait_until(
                lambda before=before: case.plain.xlen(redis_keys.EVENT_STREAM) < before,  # type: ignore[misc]
                within=60,
                every=0.01,
                what="the worker is running",
            )
            case.send(entries[part::3])
            await asyncio.sleep(chance.uniform(0.0, 0.3))
    with _worker(redis_url, postgres_url):
        wait_until(lambda: not case.plain.xlen(redis_keys.EVENT_STREAM), within=60, what="the stream is empty")
    good = {number for number in range(1, 801) if number % 100}
    assert case.logged() == {f"e-{number}" for number in good}
    dead = [fields[b"entry"] for _, fields in case.plain.xrange(redis_keys.DEAD_LETTERS)]
    assert len(dead) == len(set(dead)) == 2 * (len(poison) + 8), "all were sent twice"


async def test_with_the_server_stopped_or_hung_no_failure_is_counted_and_live_features_continue(
    redis: AsyncRedis, plain: Redis, redis_url: str
) -> None:
    with running_server() as server:
        server.cluster.ensure_database("recsys")
        engine = open_database(server.cluster.url("recsys"), SCHEMA)
        migrate(engine, SCHEMA, MIGRATIONS)
        await _outlive(server, Case(redis, plain, redis_url, EventLog(engine)))
        engine.dispose()


async def _outlive(server: PostgresServer, case: Case) -> None:
    case.send([_fields(number) for number in range(1, 51)])
    await case.round()
    assert len(case.logged()) == 50
    server.freeze()
    case.send([_fields(number) for number in range(51, 101)])
    hanging = asyncio.create_task(case.log.step())
    for _ in range(20):
        await case.live.step()
        await asyncio.sleep(0.05)
    assert (len(case.in_live() & set(range(51, 101))), case.dead()) == (50, [])
    server.thaw()
    await hanging
    server.stop()
    case.send([_fields(number) for number in range(101, 151)])
    await case.round(5)
    assert (len(case.in_live() & set(range(101, 151))), case.dead()) == (50, [])
    server.start()
    await case.run_dry()
    assert (len(case.logged()), case.dead()) == (150, [])
