"""A forgotten user is nowhere but in the mark; what is from before stays out, and new events count."""

import asyncio
import json
import struct
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from stream_worker import Worker

from contracts import redis_keys
from contracts.events import BehaviorEvent, Exposure
from contracts.feature_spec import FEATURE_SPECS, FeatureSpec
from contracts.ids import hash_id
from contracts.served_features import HEAD_FIELD, VECTORS_FIELD, ServedHead, ServedVectors
from contracts.snapshot import write_snapshot
from contracts.user_blob import History, LiveHistory, UserBlob
from feature_sync.app import create_app
from feature_sync.connections import RedisFaults
from feature_sync.events.entries import Entry
from feature_sync.events.forgotten import drop_forgotten
from feature_sync.events.histories import Interaction, add_interactions, remove_before
from feature_sync.events.log import EventLog
from feature_sync.events.tables import behavior_events
from feature_sync.forgetting.bodies import UserExport
from feature_sync.forgetting.calls import LogLockedError
from feature_sync.forgetting.logged import LoggedRows
from feature_sync.forgetting.mentions import is_about
from feature_sync.forgetting.removal import UserRemoval
from feature_sync.forgetting.service import Forgetting
from feature_sync.forgetting.state import UserStates
from feature_sync.forgetting.table import RESUME_AFTER, MarkTable, forgotten_users, lock_log
from feature_sync.metrics import Metrics
from feature_sync.settings import Settings
from feature_sync.snapshots.job_store import JobStore
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.switch import SnapshotSwitch
from localservers.postgres import PostgresCluster
from localservers.waiting import wait_until
from servicekit.database import open_database
from servicekit.database_calls import DatabaseCalls
from testkit.redis_server import RedisServer
from testkit.serving import Served

pytestmark = pytest.mark.anyio
TOKEN = {"Authorization": "Bearer the-token"}
# Of a text, so that no other number or length in Redis looks like it.
NAME = "c2a1f0de/7c1b 用户"
USER = hash_id(NAME, "user")
OTHER = 8
PATH = "/users/c2a1f0de%2F7c1b%20%E7%94%A8%E6%88%B7"


def _event(number: int, user: int = USER, **values: Any) -> BehaviorEvent:
    given = {"event_id": f"e-{number}", "type": "view", "user_id": user, "dataset_id": number, **values}
    return BehaviorEvent.model_validate({"ts": datetime.now(UTC), **given})


def _send(plain: Redis, event: BehaviorEvent, stream: str = redis_keys.EVENT_STREAM, **values: Any) -> None:
    plain.xadd(stream, {"event": json.dumps({**json.loads(event.to_stream()["event"]), **values})})


def _shown(user: int) -> dict[Any, Any]:
    shown = Exposure(
        exposure_id=f"exp-{user}", user_id=user, dataset_ids=[1, 2], request_id="req_1", ts=datetime.now(UTC)
    )
    return {"exposures": shown.model_dump_json()}


def _ranked(user: int) -> dict[Any, Any]:
    nothing = np.empty(0, np.int32)
    head = ServedHead(
        user_id=user,
        served_id=f"srv-{user & 0xFFFF:016x}",
        ts=datetime.now(UTC),
        request_id="req_1",
        endpoint="/recommend/user",
        max_items=10,
        model_version="1",
        bundle_sha256="a" * 64,
    )
    vectors = ServedVectors(nothing, np.empty((0, 46), np.float32), nothing, np.empty(0, np.float32), nothing, b"")
    return {HEAD_FIELD: head.model_dump_json(), VECTORS_FIELD: vectors.pack()}


def _blob() -> bytes:
    history = History(np.array([5], np.int64), np.array([1_700_000_000], np.int64), np.array([2], np.uint8))
    return UserBlob(np.zeros(3, np.float32), history).pack()


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@contextmanager
def _serving(redis_url: str, url: str) -> Iterator[httpx.Client]:
    settings = Settings(redis_url=SecretStr(redis_url), database_url=SecretStr(url), admin_token=SecretStr("the-token"))
    with Served(create_app(settings)) as served, httpx.Client(base_url=served.url, headers=TOKEN, timeout=20) as client:
        yield client


@pytest.fixture
def client(redis_url: str, url: str) -> Iterator[httpx.Client]:
    with _serving(redis_url, url) as client:
        yield client


def _values(plain: Redis, key: bytes) -> Iterator[bytes]:
    kind: Any = plain.type(key)
    reads: dict[bytes, Any] = {
        # It was removed meanwhile.
        b"none": list,
        b"string": lambda: [plain.get(key)],
        b"list": lambda: plain.lrange(key, 0, -1),
        b"set": lambda: plain.smembers(key),
        b"zset": lambda: plain.zrange(key, 0, -1),
        b"hash": lambda: [part for pair in plain.hgetall(key).items() for part in pair],  # type: ignore[union-attr]
        b"stream": lambda: [
            part
            for _, fields in plain.xrange(key)  # type: ignore[union-attr]
            for pair in fields.items()
            for part in pair
        ],
    }
    yield from reads[kind]()


def _in_redis(plain: Redis, user: int = USER, name: str = NAME) -> set[str]:
    """Return the keys that have the user in their name or in a value, as digits, as text or as packed bytes."""
    forms = [str(user).encode(), struct.pack("<q", user), name.encode(), json.dumps(name).encode()]
    found = set()
    for key in plain.scan_iter():
        if any(form in part for part in (key, *_values(plain, key)) for form in forms):
            found.add(key.decode())
    return found


def _in_tables(url: str, user: int = USER) -> set[str]:
    """Return the tables that have the user in any column, but for the mark of a removal that isn't finished."""
    engine = open_database(url, "events")
    schema = None if engine.dialect.name == "sqlite" else "events"
    found = set()
    with engine.connect() as connection:
        partitions = connection.execute(text("SELECT inhrelid::regclass::text FROM pg_inherits")).scalars().all()
        for table in {*inspect(connection).get_table_names(schema)} - {each.partition(".")[2] for each in partitions}:
            rows = connection.execute(text(f"SELECT * FROM {'' if schema is None else 'events.'}{table}"))
            for row in rows.mappings():
                values = {name: value for name, value in row.items() if name != "unfinished_user_id"}
                if str(user) in str(values) or NAME in str(values):
                    found.add(table)
    engine.dispose()
    return found


def _unfinished(url: str) -> list[int]:
    engine = open_database(url, "events")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT unfinished_user_id FROM events.forgotten_users")).scalars().all()
    engine.dispose()
    return [row for row in rows if row is not None]


def _counted(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


def _live(plain: Redis, user: int = USER) -> list[int]:
    blob: Any = plain.get(redis_keys.live_history(user))
    return [] if blob is None else LiveHistory.unpack(blob).history.ids.tolist()


def _fill(client: httpx.Client, plain: Redis, folder: Path) -> None:
    """Put the user, and another one, wherever something is stored about users."""
    # A reader of the user's own holds entries back.
    plain.xgroup_create(redis_keys.EVENT_STREAM, "warehouse", "0", mkstream=True)
    for user in (USER, OTHER):
        _send(plain, _event(1, user, event_id=f"first-{user}"))
        _send(plain, _event(1, user, event_id=f"ahead-{user}", ts=datetime.now(UTC) + timedelta(minutes=4)))
        _send(plain, _event(2, user, event_id=f"again-{user}"), redis_keys.REPEATED_EVENTS)
        plain.xadd(redis_keys.EVENT_STREAM, _shown(user))
        plain.xadd(redis_keys.SERVED_STREAM, _ranked(user))
        _send(plain, _event(3, user, event_id=f"dead-{user}"), type="like")
        plain.set(redis_keys.result("hash", user), b"answer")
        plain.set(redis_keys.last_good("hash", user), b"answer")
    # As another writer may send it.
    _send(plain, _event(4, event_id="named"), type="like", user_id=NAME)
    for version in ("v1", "v2"):
        path = folder / version
        write_snapshot(path, version, datetime.now(UTC), [(USER, _blob()), (OTHER, _blob() + b"")])
        job = client.post("/sync", json={"snapshot": str(path)}).json()["job"]
        wait_until(lambda job=job: client.get(f"/sync/{job}").json()["state"] == "done", within=60, what="it is synced")
    wait_until(lambda: plain.xlen(redis_keys.DEAD_LETTERS) == 3, within=60, what="they are dead letters")
    wait_until(lambda: _counted(client, 'sync_events_total{outcome="logged"}') == 8, within=60, what="all is logged")
    wait_until(lambda: plain.xlen(redis_keys.REPEATED_EVENTS) == 0, within=60, what="what no group waits for is gone")
    wait_until(lambda: plain.xlen(redis_keys.SERVED_STREAM) == 0, within=60, what="served features are stored")


def test_all_is_removed_but_for_the_mark_and_repeats_and_replays_stay_out(
    client: httpx.Client, plain: Redis, url: str, tmp_path: Path
) -> None:
    _fill(client, plain, tmp_path)
    assert len(_in_redis(plain)) >= 9
    assert _in_tables(url) == {"behavior_events", "exposures", "served_features"}
    _check_export(client.get(f"{PATH}/export"))
    answer = client.delete(PATH)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["user_id"], body["external_id"]) == (USER, NAME)
    assert body["removed"] == {
        "events": 3,
        "exposures": 1,
        "served_features": 1,
        "stream_entries": 5,
        "dead_letters": 2,
        "live_interactions": 1,
        "snapshots": 2,
        "cached_answers": 2,
    }
    assert {each["name"] for each in body["remains"]} >= {"business_database", "bundles", "collector", "pipeline_runs"}
    assert datetime.fromisoformat(body["forgotten_at"]) <= datetime.now(UTC)
    assert _in_redis(plain) == set()
    assert _in_tables(url) == set()
    exported = client.get(f"{PATH}/export").json()
    held = [exported[name] for name in ("cached_answers", "stream_entries", "events", "served_features")]
    assert held == [[], [], [], []]
    state = client.get(f"{PATH}/features").json()
    assert (state["live"], state["snapshots"]) == (None, [])
    # The other user's data is all there.
    assert _live(plain, OTHER) == [1]
    assert plain.xlen(redis_keys.DEAD_LETTERS) == 1
    assert len([key for key in plain.scan_iter() if f":{OTHER}".encode() in key]) == 5

    before = datetime.fromisoformat(body["forgotten_at"]) - timedelta(seconds=1)
    # A journal of this release and of the one before, and a caller who repeats an event whose clock is ahead.
    _send(plain, _event(1, event_id="journal", ts=before + timedelta(minutes=4)), received_at=before.isoformat())
    _send(plain, _event(1, event_id="first", ts=before))
    _send(plain, _event(1, event_id="ahead", ts=before + timedelta(minutes=4)), redis_keys.REPEATED_EVENTS)
    _send(plain, _event(9, OTHER, event_id="other", ts=before))
    wait_until(lambda: _live(plain, OTHER) == [1, 9] or _live(plain, OTHER) == [9, 1], within=60, what="it is live")
    dropped = 'sync_forgotten_events_total{group="%s"}'
    wait_until(lambda: _counted(client, dropped % "live") == 2, within=60, what="old events are dropped")
    wait_until(lambda: _counted(client, dropped % "log") == 3, within=60, what="old events are dropped")
    assert _live(plain) == []
    assert _in_tables(url) == set()

    _send(plain, _event(42, event_id="new"))
    wait_until(lambda: _live(plain) == [42], within=60, what="new events count")
    wait_until(lambda: _in_tables(url) == {"behavior_events"}, within=60, what="new events are logged")

    assert client.delete(PATH).json()["removed"]["events"] == 1
    assert (_in_redis(plain) - {redis_keys.EVENT_STREAM}, _in_tables(url)) == (set(), set())


def _check_export(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "application/json"
    body = UserExport.model_validate_json(answer.content)
    assert (body.state.user_id, body.state.external_id) == (USER, NAME)
    assert body.state.live is not None
    assert [(each.dataset_id, each.type) for each in body.state.live.interactions] == [(1, "view")]
    assert 0 <= (body.state.live.age_seconds or 0) < 60
    assert sorted((each.version[:2], each.is_active) for each in body.state.snapshots) == [("v1", False), ("v2", True)]
    for snapshot in body.state.snapshots:
        assert len(snapshot.features) == 3
        assert [(each.dataset_id, each.at.year) for each in snapshot.interactions] == [(5, 2023)]
    assert {each.key[:4]: b64decode(each.value_base64) for each in body.cached_answers} == {
        "res:": b"answer",
        "last": b"answer",
    }
    assert sorted(each.stream for each in body.stream_entries) == [
        *["stream:events"] * 5,
        *["stream:events:rejected"] * 2,
    ]
    assert [event.type for event in body.events] == ["view", "view", "view"]
    assert [(each.request_id, each.dataset_ids) for each in body.exposures] == [("req_1", [1, 2])]
    assert [(each.request_id, bool(each.vectors)) for each in body.served_features] == [("req_1", True)]
    assert {each.name for each in body.remains} >= {"business_database", "collector"}


async def test_an_export_has_every_event_once_in_the_order_of_their_times(event_log: EventLog) -> None:
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number % 3) for number in range(2500)]
    event_log.add([_event(number + 1, event_id=f"e-{number:05}", ts=ts) for number, ts in enumerate(times)])
    event_log.add([_event(1, OTHER, event_id="other")])
    events, after, rows = LoggedRows(event_log._engine, behavior_events), None, []
    while page := events.page(USER, after):
        assert len(page) <= 1000
        rows += page
        after = (page[-1]["ts"], page[-1]["event_id"])
    assert [(row["ts"], row["event_id"]) for row in rows] == sorted(
        (ts, f"e-{number:05}") for number, ts in enumerate(times)
    )


async def test_what_cannot_be_decoded_is_named(redis: AsyncRedis, plain: Redis) -> None:
    plain.set(redis_keys.live_history(USER), b"damaged")
    plain.set(redis_keys.SNAPSHOT_POINTER, "v1")
    plain.set(redis_keys.user_features("v1", USER), UserBlob(np.zeros(200, np.float32), History()).pack())
    state = await UserStates(redis, time.time).read(USER, None)
    assert (state.live, state.malformed_keys) == (None, [redis_keys.live_history(USER)])
    # As of a later release.
    assert len(state.snapshots[0].features) == 200


async def test_the_features_have_the_names_of_their_snapshot(redis: AsyncRedis, plain: Redis) -> None:
    plain.set(redis_keys.SNAPSHOT_POINTER, "v1")
    named = [FeatureSpec(name=name, dtype="float32", default=0.0) for name in ("user_age", "own_user_visits")]
    plain.set(redis_keys.snapshot_features("v1"), FEATURE_SPECS.dump_json(named))
    plain.set(redis_keys.user_features("v1", USER), UserBlob(np.array([np.nan, 3.0], np.float32), History()).pack())
    state = await UserStates(redis, time.time).read(USER, None)
    assert state.snapshots[0].features == {"user_age": None, "own_user_visits": 3.0}


def test_keys_of_another_type_keep_nothing_else(client: httpx.Client, plain: Redis, url: str, tmp_path: Path) -> None:
    _fill(client, plain, tmp_path)
    plain.delete(redis_keys.SNAPSHOT_POINTER, redis_keys.SNAPSHOT_VERSIONS, redis_keys.snapshot_users("v1"))
    for key in (redis_keys.SNAPSHOT_POINTER, redis_keys.SNAPSHOT_VERSIONS, redis_keys.snapshot_users("v1")):
        plain.hset(key, "a", "b")
    answer = client.delete(PATH)
    assert (answer.status_code, answer.json()["removed"]["cached_answers"]) == (200, 2)
    assert [client.get(f"{PATH}/{name}").status_code for name in ("features", "export")] == [200, 200]
    assert _in_tables(url) == set()


@pytest.mark.parametrize("path", ["/users/7/", "/users/7/export", "/users/7/features", "/users/a/b"])
def test_a_slip_of_the_path_forgets_nobody(client: httpx.Client, url: str, path: str) -> None:
    answer = client.delete(path)
    assert (answer.status_code, "Nobody was forgotten" in answer.text) == (404, True)
    assert _unfinished(url) == []


def test_marks_count_after_a_backup_was_restored(event_log: EventLog) -> None:
    marks = MarkTable(event_log._engine, SecretStr("s" * 32))
    for user in (1, 2, 3):
        marks.forget(user)
    with event_log._engine.begin() as connection:
        connection.execute(forgotten_users.delete())
    moment = marks.forget(USER).moment
    assert marks.current.moment_of(USER) == moment.timestamp()
    assert marks.current.moment_of(1) == 0.0


def test_a_log_that_another_session_has_locked_does_not_hold_up_events(postgres_log: EventLog) -> None:
    """VACUUM and CREATE INDEX CONCURRENTLY take such a lock, which insertions don't wait for."""
    marks, engine = MarkTable(postgres_log._engine, SecretStr("s" * 32)), postgres_log._engine
    with engine.begin() as other:
        other.execute(text("LOCK TABLE events.behavior_events IN SHARE UPDATE EXCLUSIVE MODE"))
        began = time.monotonic()
        with pytest.raises(LogLockedError):
            marks.forget(USER)
        # Far below the deadline of a write, also on a busy machine.
        assert time.monotonic() - began < 4
        postgres_log.add([_event(1)])
    assert marks.forget(USER).events == 1


def test_a_process_that_hangs_with_the_lock_does_not_keep_it(postgres_log: EventLog) -> None:
    with postgres_log._engine.connect() as hanging:
        hanging.begin()
        lock_log(hanging)
        wait_until(lambda: _can_insert(postgres_log), within=60, what="the server has ended the transaction")
        with pytest.raises(DBAPIError):
            hanging.execute(text("SELECT 1"))


def _can_insert(event_log: EventLog) -> bool:
    with event_log._engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = 500"))
        try:
            connection.execute(text("LOCK TABLE events.behavior_events IN ROW EXCLUSIVE MODE"))
        except DBAPIError:
            return False
    return True


@pytest.mark.parametrize(
    ("path", "user"),
    [("/users/1", 1), (f"/users/{2**63 - 1}", 2**63 - 1), ("/users/a%2Fexport", hash_id("a/export", "user"))],
)
def test_an_unknown_user_is_marked_too(client: httpx.Client, path: str, user: int) -> None:
    answer = client.delete(path)
    assert (answer.status_code, answer.json()["user_id"]) == (200, user)
    for name in ("features", "export"):
        body = client.get(f"{path}/{name}").json()
        assert body.get("state", body)["user_id"] == user
    assert set(answer.json()["removed"].values()) == {0}


@pytest.mark.parametrize(
    "path", ["/users/0", "/users/-1", f"/users/{2**63}", "/users/1.0", "/users/%20a", "/users/a%00"]
)
def test_an_invalid_id_is_rejected(client: httpx.Client, path: str) -> None:
    answers = [client.delete(path), client.get(f"{path}/features"), client.get(f"{path}/export")]
    assert [answer.status_code for answer in answers] == [422, 422, 422]


def test_it_needs_the_token(client: httpx.Client, url: str) -> None:
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
        for method, path in (("DELETE", "/users/7"), ("GET", "/users/7/features"), ("GET", "/users/7/export")):
            assert client.request(method, path, headers=headers).status_code == 401
    assert _unfinished(url) == []


def test_with_redis_down_the_log_is_clear_and_the_rest_is_removed_when_it_is_back(
    client: httpx.Client, plain: Redis, redis_server: RedisServer, url: str, tmp_path: Path
) -> None:
    _fill(client, plain, tmp_path)
    redis_server.kill()
    try:
        answer = client.delete(PATH)
        assert answer.status_code == 503
        assert "without a further call" in answer.json()["detail"]
        assert [client.get(f"{PATH}/{name}").status_code for name in ("features", "export")] == [503, 503]
        assert _in_tables(url) == set()
    finally:
        redis_server.restart()
    assert _in_redis(plain)
    wait_until(lambda: _in_redis(plain) == set(), within=60, what="Redis has nothing of the user")


def test_with_postgresql_down_nothing_is_removed_and_the_answer_says_so(
    client: httpx.Client, plain: Redis, postgres_server: PostgresCluster, url: str
) -> None:
    _send(plain, _event(1))
    wait_until(lambda: _live(plain) == [1], within=60, what="it is live")
    postgres_server.drop_database(url.rsplit("/", 1)[1])
    assert [client.delete(PATH).status_code, client.get(f"{PATH}/export").status_code] == [503, 503]
    assert client.get(f"{PATH}/features").status_code == 200
    assert _live(plain) == [1]
    wait_until(
        lambda: client.get("/health").json()["checks"]["forgotten_users"]["status"] == "degraded",
        within=60,
        what="health shows it",
    )


class _Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def time(self) -> float:
        return self.now.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def _forgetting(redis: AsyncRedis, redis_url: str, engine: Engine, clock: _Clock) -> tuple[MarkTable, Forgetting]:
    table = MarkTable(engine, SecretStr("the-secret"), lambda: clock.now)
    forgetting = Forgetting(
        table,
        DatabaseCalls(engine, 20.0),
        UserRemoval(redis),
        RedisFaults(redis_url),
        Metrics(),
        now=clock.time,
        sleep=clock.sleep,
    )
    return table, forgetting


async def test_a_removal_that_was_killed_after_the_mark_is_continued_and_then_repeated(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    clock = _Clock()
    table, _ = _forgetting(redis, redis_url, event_log._engine, clock)
    plain.set(redis_keys.live_history(USER), LiveHistory().pack())
    event_log.add([_event(1)])
    assert table.forget(USER).events == 1

    # The next process.
    table, forgetting = _forgetting(redis, redis_url, event_log._engine, clock)
    await forgetting.step()
    assert _in_redis(plain)
    clock.now += RESUME_AFTER + timedelta(seconds=1)
    await forgetting.step()
    assert _in_redis(plain) == set()
    # Another replica was about to cache an answer, and to apply an old event. New ones have come.
    plain.set(redis_keys.last_good("hash", USER), b"answer")
    moment = int(next(iter(table.current.moments.values())))
    blob, _ = add_interactions(b"", [Interaction(1, moment - 1, 2), Interaction(2, moment, 2)], moment)
    plain.set(redis_keys.live_history(USER), blob, ex=1000)
    assert table.unfinished() == 1
    clock.now += timedelta(seconds=11)
    await forgetting.step()
    assert (table.unfinished(), _in_redis(plain)) == (0, {redis_keys.live_history(USER)})
    assert (_live(plain), plain.ttl(redis_keys.live_history(USER)) > 900) == ([2], True)
    assert forgetting.check.detail == "1 users, 0 removals to finish"


async def test_the_answer_comes_after_the_moment_so_whatever_follows_it_is_new(
    redis: AsyncRedis, redis_url: str, event_log: EventLog
) -> None:
    clock = _Clock()
    table, forgetting = _forgetting(redis, redis_url, event_log._engine, clock)
    done = await forgetting.forget(USER)
    assert done.moment == clock.now.replace(microsecond=0)
    after, before = done.moment, done.moment - timedelta(milliseconds=1)

    def counts(user: int, happened: datetime, received: datetime) -> bool:
        entry = Entry(b"1-0", {}, _event(1, user, ts=happened), received.timestamp())
        return bool(drop_forgotten([entry], table.current)[0])

    assert counts(USER, after, after)
    assert not counts(USER, before, after)
    assert not counts(USER, after, before)
    assert counts(OTHER, before, before)


async def test_an_event_of_a_worker_that_does_not_know_the_mark_yet_stays_out_of_the_log(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    worker = Worker(redis, redis_url, event_log)
    _send(plain, _event(1))
    _send(plain, _event(2, OTHER))
    # As another worker.
    MarkTable(event_log._engine, SecretStr("the-secret")).forget(USER)
    await worker.log.step()
    with event_log._engine.connect() as connection:
        rows = connection.execute(text(f"SELECT user_id FROM {_name(event_log)}")).scalars().all()
    assert rows == [OTHER]
    assert worker.metrics.forgotten_events.labels("log")._value.get() == 1


def _name(log: EventLog) -> str:
    return "behavior_events" if log._engine.dialect.name == "sqlite" else "events.behavior_events"


async def test_events_that_are_being_inserted_are_waited_for_and_removed(postgres_log: EventLog) -> None:
    table = MarkTable(postgres_log._engine, SecretStr("the-secret"))
    removed: list[int] = []
    other = Thread(target=lambda: removed.append(table.forget(USER).events))

    def forget_meanwhile(_: object) -> None:
        other.start()
        time.sleep(0.3)
        assert not removed

    await asyncio.to_thread(postgres_log.add, [_event(1)], forget_meanwhile)
    await asyncio.to_thread(other.join, 10)
    assert removed == [1]


async def test_a_snapshot_from_before_leaves_the_user_out_and_a_later_one_does_not(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog, tmp_path: Path
) -> None:
    clock = _Clock()
    table, forgetting = _forgetting(redis, redis_url, event_log._engine, clock)
    jobs = SyncJobs(
        SnapshotSwitch(redis, marks=lambda: table.current), JobStore(redis, "one"), RedisFaults(redis_url), Metrics()
    )
    moment = (await forgetting.forget(USER)).moment

    async def synced(version: str, events_until: datetime) -> set[str]:
        made = datetime.now(UTC) + timedelta(hours=1)
        write_snapshot(
            tmp_path / version, version, made, [(USER, _blob()), (OTHER, _blob())], events_until=events_until
        )
        job = await jobs.submit(str(tmp_path / version))
        await jobs.step()
        assert (await jobs.get(job.job)).state == "done"
        return {key for key in _in_redis(plain) if f":{version}" in key}

    assert await synced("before", moment - timedelta(minutes=1)) == set()
    assert len(await synced("after", moment + timedelta(minutes=1))) == 2


@given(
    st.lists(st.tuples(st.integers(1, 99), st.integers(1, 200), st.integers(1, 4)), max_size=60), st.integers(0, 201)
)
def test_a_history_keeps_what_is_not_from_before(entries: list[tuple[int, int, int]], moment: int) -> None:
    blob, _ = add_interactions(b"", [Interaction(*entry) for entry in entries], 200)
    if not blob:
        return
    before = LiveHistory.unpack(blob)
    left, removed = remove_before(blob, moment)
    expected = [each for each in zip(before.history.ids, before.history.ts, strict=True) if each[1] >= moment]
    if not expected:
        assert left == b""
        return
    after = LiveHistory.unpack(left)
    assert list(zip(after.history.ids, after.history.ts, strict=True)) == expected
    assert removed == len(before.history) - len(after.history)
    # Cached answers are stale if anything changed.
    assert (after.sequence != before.sequence) == bool(removed)


@pytest.mark.parametrize(
    "body",
    [
        b'{"user_id": 7}',
        b'{"user_id":"7"',
        b'{"a": "\\"", "user_id" : 7',
        b'{"user_id": 70, "user_id": 7, "cut of\xe2\x80\xa6',
        b'["user_id", {"user_id":\n7}]',
    ],
)
def test_an_unreadable_entry_is_about_the_user_that_it_names(body: bytes) -> None:
    assert is_about(b"1000-0", {b"event": body}, 7, 2.0)
    assert not is_about(b"2000-0", {b"event": body}, 7, 2.0)
    assert not is_about(b"1000-0", {b"event": body.replace(b"7", b"71")}, 7, 2.0)


@pytest.mark.parametrize(
    "body",
    [b"", b'{"dataset_id": 7}', b'{"user_id": [7]}', b'{"user_id": "\\ud800"}', b'{"user_id": ' + b"7" * 5000 + b"}"],
)
def test_an_unreadable_entry_is_about_nobody_else(body: bytes) -> None:
    assert not is_about(b"1000-0", {b"event": body, b"7": b"7"}, 7, 2.0)
