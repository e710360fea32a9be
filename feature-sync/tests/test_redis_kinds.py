"""On every kind of Redis: events are processed once, windows are counted, snapshots switch."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis as PlainRedis

from contracts import redis_keys
from contracts.events import BehaviorEvent
from contracts.snapshot import add_increment, write_snapshot
from contracts.user_blob import LiveHistory
from feature_sync.app import create_app
from feature_sync.bounds import BoundWatch
from feature_sync.connections import AnyRedis, open_redis
from feature_sync.events.dead_letters import DeadLetters, Replayed, Selection
from feature_sync.events.entries import DeadLetter, Decoded, decode
from feature_sync.events.lag import StreamLag
from feature_sync.events.live import LiveFeatures
from feature_sync.events.retention import StreamRetention
from feature_sync.events.stream import ConsumerGroup, Reading
from feature_sync.forgetting.removal import UserRemoval
from feature_sync.hot.refresh import HotWindows
from feature_sync.marks import Marks
from feature_sync.memory.sampling import MemoryUsage
from feature_sync.metrics import Metrics
from feature_sync.settings import Settings
from feature_sync.snapshots.age import SnapshotAge
from feature_sync.snapshots.chain import get_users, read_chain
from feature_sync.snapshots.lease import GRACE_SECONDS
from feature_sync.snapshots.retirement import Retirement
from feature_sync.snapshots.room import NoRoomError, SnapshotSize
from feature_sync.snapshots.source import fetch_snapshot
from feature_sync.snapshots.switch import Progress, SnapshotSwitch
from feature_sync.snapshots.verification import SnapshotVerification
from localservers.ports import Ports
from localservers.waiting import wait_until
from servicekit.redis_urls import disconnect
from testkit.redis_server import RedisServer
from testkit.redis_topologies import SentinelSetup, cluster_url
from testkit.serving import Served

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


# As docs/OPERATIONS.md names them.
PERMISSIONS = ("+@read", "+@write", "+@scripting", "+@connection", "+time", "+info")


@pytest.fixture(params=["tls", "sentinels", "cluster", "user"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[AnyRedis]:
    if request.param == "tls":
        server: RedisServer = request.getfixturevalue("tls_redis")
        url = server.url
    elif request.param == "sentinels":
        watched: SentinelSetup = request.getfixturevalue("watched_redis")
        url = watched.url
    elif request.param == "user":
        url = request.getfixturevalue("redis_url")
        with PlainRedis.from_url(url, socket_timeout=5) as plain:
            plain.execute_command("ACL", "SETUSER", "sync", "on", ">p@ss", "~*", *PERMISSIONS)
        url = url.replace("redis://", "redis://sync:p%40ss@")
    else:
        nodes: list[RedisServer] = request.getfixturevalue("redis_cluster")
        url = cluster_url(nodes)
    client = open_redis(url)
    await client.flushall()
    yield client
    await disconnect(client)


def _event(number: int, user: int) -> BehaviorEvent:
    given = {"event_id": f"e-{number}", "type": "view", "user_id": user, "dataset_id": number, "ts": NOW}
    return BehaviorEvent.model_validate(given)


async def test_a_forgotten_user_is_removed(redis: AnyRedis) -> None:
    for stream in (redis_keys.EVENT_STREAM, redis_keys.REPEATED_EVENTS):
        for number in range(1, 21):
            fields: Any = _event(number, user=number).to_stream()
            await redis.xadd(stream, fields)
    for user in range(1, 21):
        await redis.set(redis_keys.user_features("v1", user), b"blob")
        await redis.set(redis_keys.result("hash", user), b"answer")
        await redis.set(redis_keys.last_good("hash", user), b"answer")
    await redis.zadd(redis_keys.SNAPSHOT_VERSIONS, {"v1": 1})
    await LiveFeatures(redis, NOW.timestamp).apply([_event(number, user=number) for number in range(1, 21)])
    removed = await UserRemoval(redis).remove(7, datetime.now(UTC).timestamp() + 1)
    assert removed.counts() == {
        "stream_entries": 2,
        "dead_letters": 0,
        "live_interactions": 1,
        "snapshots": 1,
        "cached_answers": 2,
    }
    assert [await redis.xlen(stream) for stream in (redis_keys.EVENT_STREAM, redis_keys.REPEATED_EVENTS)] == [19, 19]
    for pattern, left in (("fs:*", 19), ("live:*", 19), ("res:*", 19), ("last:*", 19)):
        assert len([key async for key in redis.scan_iter(match=pattern)]) == left


def _events(decoded: Decoded) -> list[BehaviorEvent]:
    return [entry.content for entry in decoded.entries if isinstance(entry.content, BehaviorEvent)]


async def test_events_of_the_stream_are_processed_and_counted_once(redis: AnyRedis) -> None:
    events = [_event(number, user=number % 20 + 1) for number in range(1, 101)]
    for event in events:
        fields: Any = event.to_stream()
        await redis.xadd(redis_keys.EVENT_STREAM, fields)
    await redis.xadd(redis_keys.EVENT_STREAM, {"foreign": "entry"})
    stream = ConsumerGroup(redis, redis_keys.EVENT_STREAM, "live", Reading("one", 500))
    await stream.prepare()
    decoded = decode(await stream.take())
    assert len(_events(decoded)) == 100
    letters = DeadLetters(redis, 10)
    for _ in range(2):
        await letters.add(decoded.unreadable)
    assert (await letters.counts()).count == 1, "each entry once"
    assert await stream.remove_dead_consumers() == 0
    live, windows = LiveFeatures(redis, NOW.timestamp), HotWindows(redis, NOW.timestamp)
    assert await live.apply(_events(decoded)) == 100
    assert await live.apply(_events(decode(await stream.pending()))) == 0, "delivered again"
    await stream.done([entry.id for entry in (*decoded.entries, *decoded.unreadable)])
    await StreamRetention(redis, redis_keys.EVENT_STREAM, ["live"], 60).trim()
    assert await redis.xlen(redis_keys.EVENT_STREAM) == 0
    await windows.refresh()
    assert await redis.zcard(redis_keys.hot("1h")) == 100
    assert await redis.zscore(redis_keys.hot("24h"), "7") == 1.0
    blob: Any = await redis.get(redis_keys.live_history(3))
    assert sorted(LiveHistory.unpack(blob).history.ids.tolist()) == [2, 22, 42, 62, 82]


async def test_a_snapshot_is_written_completely_then_activated_and_the_previous_one_is_removed_after_the_grace(
    redis: AnyRedis, tmp_path: Path
) -> None:
    now = NOW.timestamp()
    switch = SnapshotSwitch(redis, clock=lambda: now)
    versions: list[str] = []
    for name in ("v1", "v2", "v2"):
        folder = tmp_path / name
        if not folder.exists():
            write_snapshot(folder, name, NOW, [(user, f"{name} {user}".encode()) for user in range(1, 2001)])
        with fetch_snapshot(str(folder)) as snapshot:
            await switch.sync(snapshot, Progress(total=2000))
        versions.append(str(await switch.active()))
    first, second, again = versions
    assert again == second, "the same content is not written again"
    assert await redis.get(redis_keys.user_features(second, 2000)) == b"v2 2000"
    assert await redis.ttl(redis_keys.user_features(second, 2000)) == -1
    assert await redis.get(redis_keys.user_features(first, 7)) == b"v1 7", "within the grace"
    await Retirement(redis, clock=lambda: now + GRACE_SECONDS + 1).remove_due()
    keys = [key async for key in redis.scan_iter(match="*fs:*", count=1000)]
    assert {key.split(b":")[1] for key in keys if key.startswith(b"fs:") and key != b"fs:ptr"} == {second.encode()}
    assert len(keys) == 2000 + 2 + 4, (
        "users, schema and features; pointer, its snapshot's time, versions, list of users"
    )


async def test_changes_are_written_on_top_of_the_active_version_and_its_base_stays(
    redis: AnyRedis, tmp_path: Path
) -> None:
    switch = SnapshotSwitch(redis, clock=NOW.timestamp)
    for name, changed in (("v1", 0), ("v2", 20)):
        blobs = [(user, f"{name if user <= changed else 'v1'}".encode()) for user in range(1, 1501)]
        write_snapshot(tmp_path / name, name, NOW, blobs)
    add_increment(tmp_path / "v2", tmp_path / "v1", 1)
    for name in ("v1", "v2"):
        with fetch_snapshot(str(tmp_path / name), await switch.find_bases()) as snapshot:
            assert snapshot.size.users == (1500 if name == "v1" else 20)
            await switch.sync(snapshot, Progress())
    await Retirement(redis, clock=lambda: NOW.timestamp() + GRACE_SECONDS + 1).remove_due()
    chain = await read_chain(redis)
    assert await get_users(redis, chain, [1, 20, 21, 1500, 1501]) == [b"v2", b"v2", b"v1", b"v1", None]
    assert (await SnapshotVerification(redis, Marks).verify(str(tmp_path / "v2"))).matches


async def test_a_snapshot_without_room_is_not_written(redis: AnyRedis, tmp_path: Path) -> None:
    write_snapshot(tmp_path / "v1", "v1", NOW, [(user, bytes(50)) for user in range(1, 101)])
    with fetch_snapshot(str(tmp_path / "v1")) as fetched:
        huge = replace(fetched, size=SnapshotSize(users=100, blob_bytes=2**40))
        with pytest.raises(NoRoomError, match=r"no room in Redis: .* 512 MiB are used; raise maxmemory"):
            await SnapshotSwitch(redis).sync(huge, Progress(total=100))
    assert [key async for key in redis.scan_iter(match="*fs:*", count=1000)] == [
        redis_keys.SNAPSHOT_VERSIONS.encode()
    ], "the mark of the first sync, to look for versions of earlier releases"


def test_an_unreachable_cluster_fails_a_sync_and_not_the_worker(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s", "v1", NOW, [(1, b"blob")])
    settings = Settings(
        redis_url=SecretStr(f"redis+cluster://127.0.0.1:{Ports.free().redis}"),
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        admin_token=SecretStr("the-token"),
    )
    headers = {"Authorization": "Bearer the-token"}
    with Served(create_app(settings)) as served, httpx.Client(base_url=served.url, headers=headers) as worker:
        assert worker.get("/health").json()["checks"]["redis"]["status"] == "unhealthy"
        for _ in range(2):
            job = worker.post("/sync", json={"snapshot": str(tmp_path / "s")}).json()["job"]
            wait_until(partial(_has_failed, worker, job), within=60, what="the sync has failed")


def _has_failed(worker: httpx.Client, job: str) -> bool:
    return bool(worker.get(f"/sync/{job}").json()["state"] == "failed")


async def test_dead_letters_verification_and_measurements_work(redis: AnyRedis, tmp_path: Path) -> None:
    letters, metrics = DeadLetters(redis, 100), Metrics()
    await letters.add([DeadLetter(b"1-0", {b"event": b"no JSON"}, "unreadable")])
    assert await letters.replay(Selection(reason="unreadable")) == Replayed(added=1, repeated=0)
    await ConsumerGroup(redis, redis_keys.EVENT_STREAM, redis_keys.LOG_GROUP, Reading("one", 10)).prepare()
    lag = StreamLag(redis, redis_keys.EVENT_STREAM, metrics, BoundWatch("pipeline.feature_store_lag", 3600))
    await lag.measure()
    assert (lag.groups["log"].entries, lag.groups["log"].seconds < 60) == (1, True)

    write_snapshot(tmp_path / "v1", "v1", NOW, [(user, bytes(50)) for user in range(1, 2001)])
    with fetch_snapshot(str(tmp_path / "v1")) as snapshot:
        await SnapshotSwitch(redis).sync(snapshot, Progress())
    found = await SnapshotVerification(redis, Marks).verify(str(tmp_path / "v1"))
    assert (found.matches, found.keys) == (True, 2000)
    age = SnapshotAge(redis, metrics, BoundWatch("pipeline.feature_store_stale", 0), lambda: NOW.timestamp() + 60)
    await age.measure()
    assert age.seconds == 60
    memory = MemoryUsage(redis, metrics, 2**20)
    for _ in range(5):
        await memory.measure()
    assert 100_000 < memory.families["snapshot"] < 1_000_000
    assert memory.families["stream"] > 0
