"""On every kind of Redis: events are processed once, windows are counted, snapshots switch."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from contracts import redis_keys
from contracts.events import BehaviorEvent
from contracts.snapshot import write_snapshot
from contracts.user_blob import LiveHistory
from feature_sync.app import create_app
from feature_sync.connections import AnyRedis, open_redis
from feature_sync.events.dead_letters import DeadLetters
from feature_sync.events.entries import Decoded, decode
from feature_sync.events.live import LiveFeatures
from feature_sync.events.stream import EventStream
from feature_sync.hot.windows import HotWindows
from feature_sync.settings import Settings
from feature_sync.snapshots.switch import Progress, SnapshotSwitch
from localservers.ports import Ports
from localservers.waiting import wait_until
from servicekit.redis_urls import disconnect
from testkit.redis_server import RedisServer
from testkit.redis_topologies import SentinelSetup, cluster_url
from testkit.serving import Served

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["tls", "sentinels", "cluster"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[AnyRedis]:
    if request.param == "tls":
        server: RedisServer = request.getfixturevalue("tls_redis")
        url = server.url
    elif request.param == "sentinels":
        watched: SentinelSetup = request.getfixturevalue("watched_redis")
        url = watched.url
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


def _events(decoded: Decoded) -> list[BehaviorEvent]:
    return [event for entry in decoded.entries for event in entry.events]


async def test_events_of_the_stream_are_processed_and_counted_once(redis: AnyRedis) -> None:
    events = [_event(number, user=number % 20 + 1) for number in range(1, 101)]
    for event in events:
        fields: Any = event.to_stream()
        await redis.xadd(redis_keys.EVENT_STREAM, fields)
    await redis.xadd(redis_keys.EVENT_STREAM, {"foreign": "entry"})
    stream = EventStream(redis, "one", 500)
    await stream.prepare()
    decoded = decode(await stream.take())
    assert len(_events(decoded)) == 100
    letters = DeadLetters(redis, 10)
    for _ in range(2):
        await letters.add(decoded.unreadable)
    assert (await letters.counts()).count == 1, "each entry once"
    live, windows = LiveFeatures(redis, NOW.timestamp), HotWindows(redis, NOW.timestamp)
    assert await live.apply(_events(decoded)) == 100
    assert await live.apply(_events(decode(await stream.pending()))) == 0, "delivered again"
    await stream.done([entry.id for entry in (*decoded.entries, *decoded.unreadable)])
    await letters.drop_markers(decoded.unreadable)
    assert await stream.length() == 0
    await windows.refresh()
    assert await redis.zcard(redis_keys.hot("1h")) == 100
    assert await redis.zscore(redis_keys.hot("24h"), "7") == 1.0
    blob: Any = await redis.get(redis_keys.live_history(3))
    assert sorted(LiveHistory.unpack(blob).history.ids.tolist()) == [2, 22, 42, 62, 82]


async def test_a_snapshot_is_written_completely_then_activated_and_the_previous_one_expires(redis: AnyRedis) -> None:
    switch = SnapshotSwitch(redis)
    for version in ("v1", "v2"):
        users = [(user, f"{version} {user}".encode()) for user in range(1, 1001)]
        await switch.write(version, "schema", [users[:500], users[500:]], Progress(total=1000))
        await switch.activate(version)
        await switch.retire_others(version)
    assert await switch.active() == "v2"
    assert await redis.get(redis_keys.user_features("v2", 1000)) == b"v2 1000"
    assert await redis.ttl(redis_keys.user_features("v2", 1000)) == -1
    assert {await redis.ttl(redis_keys.user_features("v1", user)) > 0 for user in range(1, 1001, 50)} == {True}


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
            wait_until(partial(_has_failed, worker, job), within=15, what="the sync has failed")


def _has_failed(worker: httpx.Client, job: str) -> bool:
    return bool(worker.get(f"/sync/{job}").json()["state"] == "failed")
