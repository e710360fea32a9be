"""Renumbering: the numbers of an earlier release are replaced by the source's ids in every store, exactly once."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import Engine, text

import feature_sync
from contracts import redis_keys
from contracts.ids import hash_id
from contracts.user_blob import LiveHistory
from feature_sync.events.tables import SCHEMA
from pipeline.business.database import open_engine
from pipeline.business.ids import OldId
from pipeline.business.load import create_tables
from pipeline.errors import InputError
from pipeline.renumber import renumber
from pipeline.renumber.business import changes_of, renumber_tables
from pipeline.renumber.changes import IdChanges
from pipeline.renumber.event_log import open_event_log, renumber_events
from pipeline.renumber.live_state import LiveState
from pipeline.settings import Settings
from servicekit.database import migrate, open_database
from testkit.redis_server import RedisServer
from testkit.redis_topologies import cluster_url

# By their old numbers, as an earlier release assigned them in the order of the source.
DATASETS = {1: "30", 2: "10", 3: "2", 4: "SKU-77"}
USERS = {1: "1001", 2: "u-1", 3: "3"}
NEW_DATASETS = {1: 30, 2: 10, 3: 2, 4: hash_id("SKU-77", "dataset")}
NEW_USERS = {1: 1001, 2: hash_id("u-1", "user"), 3: 3}
INTERACTIONS = [(1, 1), (1, 2), (2, 3), (2, 4), (3, 1)]
# A user who signed up after the import, and a deleted dataset.
EVENTS = [*INTERACTIONS, (77, 3), (1, 88)]


@dataclass
class Stack:
    """The stores as an earlier release left them."""

    settings: Settings
    business: Engine
    events: Engine
    redis: redis.Redis

    def rows(self, engine: Engine, statement: str) -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def state(self) -> tuple[Any, ...]:
        """All data that a renumbering may change."""
        log = "behavior_events" if self.events.dialect.name == "sqlite" else "events.behavior_events"
        lives = {key.decode(): LiveHistory.unpack(self.redis.get(key)) for key in self.redis.scan_iter("live:u:*")}  # type: ignore[arg-type]  # synchronous
        return (
            self.rows(self.business, "SELECT id, external_id FROM datasets ORDER BY id"),
            self.rows(self.business, "SELECT id, external_id FROM users ORDER BY id"),
            self.rows(self.business, "SELECT user_id, dataset_id FROM interactions ORDER BY id"),
            self.rows(self.events, f"SELECT user_id, dataset_id FROM {log} ORDER BY event_id"),
            {key: (live.sequence, live.history.ids.tolist()) for key, live in lives.items()},
            sorted(self.redis.scan_iter("*")),
        )


RENUMBERED = (
    sorted((NEW_DATASETS[old], name) for old, name in DATASETS.items()),
    sorted((NEW_USERS[old], name) for old, name in USERS.items()),
    [(NEW_USERS[user], NEW_DATASETS[dataset]) for user, dataset in INTERACTIONS],
    [(NEW_USERS.get(user, user), NEW_DATASETS.get(dataset, dataset)) for user, dataset in EVENTS],
    {
        f"live:u:{NEW_USERS[1]}": (5, [NEW_DATASETS[2], NEW_DATASETS[1]]),
        f"live:u:{NEW_USERS[2]}": (6, [NEW_DATASETS[4], 88]),
        "live:u:77": (7, [NEW_DATASETS[3]]),
    },
    sorted(f"live:u:{user}".encode() for user in (NEW_USERS[1], NEW_USERS[2], 77)),
)


@pytest.fixture
def stack(business_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    business = open_engine(business_url, "BUSINESS_DATABASE_URL")
    create_tables(business)
    is_sqlite = business.dialect.name == "sqlite"
    database_url = f"sqlite:///{tmp_path}/recsys.db" if is_sqlite else business_url
    events = open_engine(f"{database_url}.events" if is_sqlite else database_url, "DATABASE_URL")
    with business.begin() as connection:
        for old, name in DATASETS.items():
            connection.execute(text(f"INSERT INTO datasets (id, external_id, title) VALUES ({old}, '{name}', 't')"))
        for old, name in USERS.items():
            connection.execute(text(f"INSERT INTO users (id, external_id) VALUES ({old}, '{name}')"))
        for number, (user, dataset) in enumerate(INTERACTIONS):
            connection.execute(
                text(f"INSERT INTO interactions (id, user_id, dataset_id) VALUES ({number}, {user}, {dataset})")
            )
    with events.begin() as connection:
        log = "behavior_events" if is_sqlite else "events.behavior_events"
        if not is_sqlite:
            connection.execute(text("CREATE SCHEMA events"))
        connection.execute(text(f"CREATE TABLE {log} (event_id TEXT PRIMARY KEY, user_id BIGINT, dataset_id BIGINT)"))
        for number, (user, dataset) in enumerate(EVENTS):
            connection.execute(text(f"INSERT INTO {log} VALUES ('e-{number}', {user}, {dataset})"))
    client = redis.Redis.from_url(redis_url, socket_timeout=5)
    for user, sequence, ids in ((1, 5, [2, 1]), (2, 6, [4, 88]), (77, 7, [3])):
        ts = np.arange(len(ids))[::-1] + 1_767_225_600
        live = LiveHistory(sequence - 1).append(np.array(ids), ts, np.full(len(ids), 2, np.uint8))
        client.set(redis_keys.live_history(user), live.pack(), ex=1000)
    for key in (redis_keys.SNAPSHOT_POINTER, "fs:v1:u:1", "hot:1h", "{hot:1h}:5", "res:x", "last:x"):
        client.set(key, "1")
    settings = Settings(
        business_database_url=SecretStr(business_url),
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
    )
    yield Stack(settings, business, events, client)
    client.close()
    business.dispose()
    events.dispose()


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_exposures_outcomes_and_withdrawals_are_renumbered_with_the_events(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    is_sqlite = kind == "sqlite"
    url = f"sqlite:///{tmp_path}/recsys.db" if is_sqlite else request.getfixturevalue("postgres_url")
    migrated = open_database(url, SCHEMA)
    migrate(migrated, SCHEMA, Path(feature_sync.__file__).parent / "migrations")
    events = open_event_log(SecretStr(url))
    assert events is not None
    prefix, now, datasets = ("", "'2026-01-02 03:04:05'", "'[{}]'") if is_sqlite else ("events.", "now()", "'{{{}}}'")
    shown = {"x-1": (1, [2, 1, 88, 4]), "x-2": (77, [3]), "x-3": (None, []), "x-4": (2, [99])}

    def insert(table: str, columns: str, *values: object) -> str:
        return f"INSERT INTO {prefix}{table} ({columns}) VALUES ({', '.join(map(str, values))})"

    statements = [
        insert("withdrawn_datasets", "withdrawn_at, source, dataset_id", now, "'operator'", dataset)
        for dataset in (1, 2, 88)
    ]
    columns = (
        "ts, received_at, served_id, user_id, request_id, endpoint, max_items, model_version, bundle_sha256, vectors"
    )
    statements.append(insert("served_features", columns, now, now, "'s'", 1, "'r'", "'/'", 10, "'1'", "'sum'", "'x'"))
    for name, (user, ids) in shown.items():
        shown_ids, nothing = datasets.format(",".join(map(str, ids))), datasets.format("")
        columns = "ts, received_at, exposure_id, request_id, user_id, dataset_ids, scores, channels"
        given = (f"'{name}'", "'r'", user or "NULL", shown_ids, nothing, nothing)
        statements.append(insert("exposures", columns, now, now, *given))
    for number, (user, dataset) in enumerate(EVENTS):
        columns, row = "ts, type, event_id, user_id, dataset_id", (now, "'click'", f"'e-{number}'", user, dataset)
        statements.append(insert("outcomes", f"{columns}, exposure_id, position", *row, f"'x-{number}'", 0))
        times = "earliest, latest, received_at"
        statements.append(insert("pending_outcomes", f"{columns}, {times}", *row, now, now, now))
    with events.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    changes = IdChanges(
        {
            "user": [OldId(old, NEW_USERS[old], name) for old, name in USERS.items()],
            "dataset": [OldId(old, NEW_DATASETS[old], name) for old, name in DATASETS.items()],
        }
    )
    assert renumber_events(events, changes)
    assert not renumber_events(events, changes), "once"

    def rows(statement: str) -> list[tuple[Any, ...]]:
        with events.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement)]

    renumbered = [(NEW_USERS.get(user, user), NEW_DATASETS.get(dataset, dataset)) for user, dataset in EVENTS]
    for table in ("outcomes", "pending_outcomes"):
        assert rows(f"SELECT user_id, dataset_id FROM {prefix}{table} ORDER BY event_id") == renumbered
    found = rows(f"SELECT exposure_id, user_id, dataset_ids FROM {prefix}exposures ORDER BY exposure_id")
    assert [(name, user, json.loads(ids) if is_sqlite else ids) for name, user, ids in found] == [
        (name, user and NEW_USERS.get(user, user), [NEW_DATASETS.get(each, each) for each in ids])
        for name, (user, ids) in shown.items()
    ]
    withdrawn = rows(f"SELECT dataset_id FROM {prefix}withdrawn_datasets ORDER BY dataset_id")
    assert withdrawn == [(10,), (30,), (88,)]
    assert rows(f"SELECT * FROM {prefix}served_features") == [], "numbers are packed in it"
    for engine in (migrated, events):
        engine.dispose()


def run(stack: Stack, *, apply: bool = True) -> list[str]:
    said: list[str] = []
    renumber(stack.settings, said.append, apply=apply, with_redis=True)
    return said


def test_a_dry_run_shows_the_changes_and_applies_none(stack: Stack) -> None:
    before = stack.state()
    said = "\n".join(run(stack, apply=False))
    assert stack.state() == before
    assert "4 datasets get another number" in said
    assert "30: 1 becomes 30" in said
    assert "2 users get another number" in said
    assert "event log: 7 events" in said
    assert "3 live histories move" in said
    assert "nothing was changed" in said


def test_tables_events_and_live_histories_are_renumbered_and_caches_are_dropped(stack: Stack) -> None:
    run(stack)
    assert stack.state() == RENUMBERED
    assert 0 < stack.redis.ttl(f"live:u:{NEW_USERS[1]}") <= 1000  # type: ignore[operator]  # synchronous
    assert run(stack) == ["every id is the number that its external id stands for: nothing to renumber"]
    assert stack.state() == RENUMBERED


def break_off_after_tables(stack: Stack) -> None:
    renumber_tables(stack.business)


def break_off_after_events(stack: Stack) -> None:
    renumber_events(stack.events, renumber_tables(stack.business))


@pytest.mark.parametrize("break_off", [break_off_after_tables, break_off_after_events])
def test_a_renumbering_interrupted_between_databases_is_finished_by_the_next(
    stack: Stack, break_off: Callable[[Stack], None]
) -> None:
    break_off(stack)
    said = run(stack)
    assert said[0].startswith("an earlier renumbering was started")
    assert stack.state() == RENUMBERED


def test_a_renumbering_interrupted_anywhere_in_redis_is_finished_by_the_next(stack: Stack) -> None:
    break_off_after_events(stack)
    changes, _ = changes_of(stack.business)
    url = stack.settings.redis_url
    assert url is not None

    async def break_off(after: int) -> bool:
        """Stop after some steps of one key each; return whether there were that many."""
        async with LiveState(url.get_secret_value(), batch=1) as live:
            steps = live.steps(changes)
            try:
                for _ in range(after):
                    await anext(steps)
            except StopAsyncIteration:
                return False
            finally:
                await steps.aclose()  # type: ignore[attr-defined]  # a generator
        return True

    after = 1
    # One step more than the last time.
    while asyncio.run(break_off(after)):
        after += 1
    assert after > 5
    run(stack)
    assert stack.state() == RENUMBERED


def test_a_renumbering_waits_for_events_with_old_ids(stack: Stack) -> None:
    before = stack.state()
    stack.redis.xadd(redis_keys.EVENT_STREAM, {"event": "{}"})
    with pytest.raises(InputError, match="1 events wait"):
        run(stack)
    stack.redis.delete(redis_keys.EVENT_STREAM)
    assert stack.state() == before


def test_two_rows_that_would_have_one_number_are_rejected_before_any_change(stack: Stack) -> None:
    with stack.business.begin() as connection:
        connection.execute(text(f"UPDATE datasets SET external_id = '{NEW_DATASETS[4]}' WHERE id = 1"))
    with pytest.raises(InputError, match="stand for one number"):
        run(stack)


def test_a_missing_redis_has_to_be_confirmed(stack: Stack) -> None:
    settings = stack.settings.model_copy(update={"redis_url": None})
    with pytest.raises(InputError, match="REDIS_URL"):
        renumber(settings, print, apply=True, with_redis=True)


def test_live_histories_of_a_cluster_move_between_its_nodes(redis_cluster: list[RedisServer]) -> None:
    changes = IdChanges(
        {
            "user": [OldId(number, number + 1, "u") for number in range(1, 101)],
            "dataset": [OldId(1, 30, "30")],
        }
    )
    live = LiveHistory().append(np.array([1]), np.array([1_767_225_600]), np.array([2], np.uint8)).pack()

    async def move() -> None:
        async with LiveState(cluster_url(redis_cluster), batch=7) as state:
            await state.renumber(changes)

    with redis.RedisCluster.from_url(redis_cluster[0].url, socket_timeout=5) as client:
        for number in range(1, 101):
            client.set(redis_keys.live_history(number), live)
        asyncio.run(move())
        found = {key.decode(): LiveHistory.unpack(client.get(key)) for key in client.scan_iter("live:u:*")}
        moved = {name: live.history.ids.tolist() for name, live in found.items()}
        client.flushall(target_nodes="primaries")
    assert moved == {f"live:u:{number}": [30] for number in range(2, 102)}
