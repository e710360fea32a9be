"""The age of the snapshot, the lag and the memory are measured all the time, shown, and reported above their bounds."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

import monitoring.testing
from contracts import redis_keys
from contracts.snapshot import write_snapshot
from feature_sync.app import create_app
from feature_sync.bounds import REPEAT_SECONDS, BoundWatch
from feature_sync.events.lag import StreamLag
from feature_sync.memory.sampling import ROUNDS, MemoryUsage
from feature_sync.metrics import Metrics
from feature_sync.settings import Settings
from feature_sync.snapshots.age import SnapshotAge
from feature_sync.snapshots.source import fetch_snapshot
from feature_sync.snapshots.switch import Progress, SnapshotSwitch
from localservers.waiting import wait_until
from testkit.redis_server import changed_settings
from testkit.serving import Served

pytestmark = pytest.mark.anyio
STALE, LAG = "pipeline.feature_store_stale", "pipeline.feature_store_lag"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def _snapshot(folder: Path, created_at: datetime, name: str = "v1", users: int = 3) -> str:
    write_snapshot(folder, name, created_at, [(user, b"blob") for user in range(1, users + 1)])
    return str(folder)


async def _sync(redis: AsyncRedis, address: str) -> None:
    with fetch_snapshot(address) as snapshot:
        await SnapshotSwitch(redis).sync(snapshot, Progress())


async def test_an_old_snapshot_is_reported_until_a_newer_one_is_active(redis: AsyncRedis, tmp_path: Path) -> None:
    metrics, bound = Metrics(), 26 * 3600.0
    clock = [NOW]
    age = SnapshotAge(redis, metrics, BoundWatch(STALE, bound), lambda: float(clock[0].timestamp()))
    with monitoring.testing.captured() as reports:
        await age.measure()
        assert (age.version, age.seconds, age.is_exceeded) == (None, None, False), "nothing is old on a first start"
        await _sync(redis, _snapshot(tmp_path / "a", NOW - timedelta(hours=25)))
        await age.measure()
        assert (age.seconds, list(reports)) == (25 * 3600, [])
        clock[0] += timedelta(hours=2)
        for _ in range(3):
            await age.measure()
        (report,) = reports.of(STALE)
        assert (report.fingerprint, report.level) == (("feature_store", "stale"), "warning")
        assert "was made 27.0 h ago" in report.message
        assert age.is_exceeded
        # A run without new events: the same content, made anew, is not written again, and is not old.
        await _sync(redis, _snapshot(tmp_path / "b", clock[0]))
        await age.measure()
    assert (age.seconds, age.is_exceeded, len(reports.of(STALE))) == (0, False, 1)
    assert [each.point_id for each in reports.recovered] == [STALE, STALE], "of an earlier process, and of this one"
    assert metrics.registry.get_sample_value("sync_snapshot_age_seconds") == 0


async def test_a_time_of_the_snapshot_that_is_none_is_an_unknown_age_and_is_named(
    redis: AsyncRedis, plain: Redis, tmp_path: Path
) -> None:
    metrics = Metrics()
    age = SnapshotAge(redis, metrics, BoundWatch(STALE, 26 * 3600), NOW.timestamp)
    await _sync(redis, _snapshot(tmp_path / "a", NOW - timedelta(hours=2)))
    (version,) = plain.hkeys(redis_keys.SNAPSHOT_CREATED)

    def replace_key() -> None:
        plain.delete(redis_keys.SNAPSHOT_CREATED)
        plain.set(redis_keys.SNAPSHOT_CREATED, "another type")

    damages = [
        *(partial(plain.hset, redis_keys.SNAPSHOT_CREATED, version, value) for value in ("soon", "nan", "inf", "")),
        replace_key,
    ]
    for damage in damages:
        damage()
        await age.measure()
        assert (age.version, age.seconds, age.is_exceeded) == (version.decode(), None, False)
        assert age.is_unreadable
    plain.delete(redis_keys.SNAPSHOT_CREATED)
    await _sync(redis, _snapshot(tmp_path / "b", NOW - timedelta(hours=2)))
    await age.measure()
    assert (age.seconds, age.is_unreadable) == (7200, False)


async def test_the_lag_of_each_group_is_the_age_of_its_oldest_unfinished_entry(redis: AsyncRedis, plain: Redis) -> None:
    stream, metrics = redis_keys.EVENT_STREAM, Metrics()
    lag = StreamLag(redis, stream, metrics, BoundWatch(LAG, 60.0))
    await lag.measure()
    assert (lag.groups, lag.entries) == ({}, 0)
    now = plain.time()[0]
    for seconds in (100, 50, 20):
        plain.xadd(stream, {"event": "x"}, id=f"{now - seconds}000-0")
    for group in (redis_keys.LIVE_GROUP, redis_keys.LOG_GROUP, "warehouse"):
        plain.xgroup_create(stream, group, "0")
    (taken,) = plain.xreadgroup(redis_keys.LIVE_GROUP, "one", {stream: ">"})
    plain.xack(stream, redis_keys.LIVE_GROUP, taken[1][0][0], taken[1][1][0])
    plain.xreadgroup(redis_keys.LOG_GROUP, "one", {stream: ">"}, count=2)
    plain.xgroup_setid(stream, "warehouse", f"{now - 20}000-0")
    with monitoring.testing.captured() as reports:
        await lag.measure()
        found = {name: (each.entries, round(each.seconds, -1)) for name, each in lag.groups.items()}
        assert found == {"live": (1, 20), "log": (3, 100), "warehouse": (0, 0)}
        (report,) = reports.of(LAG)
        assert (report.fingerprint, report.level) == (("feature_store", "lag", "log"), "warning")
        plain.xack(stream, redis_keys.LOG_GROUP, taken[1][0][0], taken[1][1][0])
        plain.xgroup_destroy(stream, "warehouse")
        await lag.measure()
    assert not lag.is_exceeded
    assert metrics.registry.get_sample_value("sync_stream_lag_seconds", {"group": "log"}) == lag.groups["log"].seconds
    assert [each.fingerprint[-1] for each in reports.recovered] == ["live", "warehouse", "log"]


def test_a_value_above_its_bound_is_reported_every_five_minutes_and_one_without_a_bound_never() -> None:
    now = 0.0
    watch, unbounded = BoundWatch(STALE, 10, lambda: now), BoundWatch(STALE, 0, lambda: now)
    with monitoring.testing.captured() as reports:
        for now in (0.0, 1.0, REPEAT_SECONDS - 1, REPEAT_SECONDS, REPEAT_SECONDS + 1):  # noqa: B007 - the clock
            watch.check(11, "late")
            unbounded.check(1e9, "late")
    assert len(reports.of(STALE)) == 2


async def test_the_memory_of_each_family_is_estimated_to_a_fifth(
    redis: AsyncRedis, plain: Redis, tmp_path: Path
) -> None:
    await _sync(redis, _snapshot(tmp_path / "s", NOW, users=3000))
    plain.mset({redis_keys.live_history(user): b"x" * 200 for user in range(2000)})
    plain.mset({f"res:{number}": b"x" * 1000 for number in range(2000)})
    for _ in range(3000):
        plain.xadd(redis_keys.EVENT_STREAM, {"event": "x" * 100})
    usage = MemoryUsage(redis, Metrics(), 2**20)
    assert usage.describe() == "not measured yet"
    for _ in range(ROUNDS):
        await usage.measure()
    exact = {"snapshot": 0, "live": 0, "answers": 0, "stream": 0}
    for key in plain.scan_iter(count=1000):
        name = key.decode()
        family = {"li": "live", "re": "answers", "st": "stream"}.get(name[:2], "snapshot")
        exact[family] += plain.memory_usage(name, samples=0) or 0
    estimates = {family: usage.families[family] / size for family, size in exact.items()}
    assert all(0.8 < each < 1.25 for each in estimates.values()), estimates
    assert (usage.families["other"], usage.problems) == (0, [])
    assert ": snapshot " in usage.describe()


async def test_a_redis_that_would_not_hold_the_next_snapshot_is_named(
    redis: AsyncRedis, plain: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await _sync(redis, _snapshot(tmp_path / "s", NOW, users=3000))
    tight = {"maxmemory": plain.info("memory")["used_memory"] + 2**20, "maxmemory-policy": "allkeys-lru"}
    with changed_settings(plain, tight):
        usage = MemoryUsage(redis, Metrics(), 4 * 2**20)
        for _ in range(12):
            await usage.measure()
    policy, room = usage.problems
    assert policy.startswith("maxmemory-policy allkeys-lru evicts keys without a TTL")
    assert room.startswith("no room for the next snapshot beside the active one and a full event stream: ")
    assert [each.message for each in caplog.records if each.levelname == "WARNING"] == [
        f"Redis: {policy}",
        f"Redis: {policy}",
        f"Redis: {room}",
    ]


@pytest.fixture
def service(redis_url: str, tmp_path: Path) -> Iterator[httpx.Client]:
    settings = Settings(
        redis_url=SecretStr(redis_url),
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        admin_token=SecretStr("the-token"),
        snapshot_max_age_hours=1,
    )
    with Served(create_app(settings)) as served, httpx.Client(base_url=served.url, timeout=10) as client:
        yield client


def _checks(service: httpx.Client) -> dict[str, Any]:
    checks: dict[str, Any] = service.get("/health").json()["checks"]
    return checks


def _metric(service: httpx.Client, name: str) -> float:
    (line,) = [each for each in service.get("/metrics").text.splitlines() if each.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


def test_health_and_metrics_show_age_lag_dead_letters_and_memory(
    service: httpx.Client, plain: Redis, tmp_path: Path
) -> None:
    address = _snapshot(tmp_path / "s", datetime.now(UTC) - timedelta(hours=2), users=20)
    service.post("/sync", json={"snapshot": address}, headers={"Authorization": "Bearer the-token"})
    plain.xadd(redis_keys.EVENT_STREAM, {"event": "no JSON"})
    wait_until(lambda: _checks(service)["snapshot"]["status"] == "degraded", within=60, what="the old snapshot is seen")
    checks = _checks(service)
    assert checks["snapshot"]["detail"].startswith("v1.")
    assert checks["snapshot"]["detail"].endswith(", made 2.0 h ago")
    wait_until(lambda: _metric(service, "sync_dead_letters") == 1, within=60, what="the dead letter is counted")
    assert _checks(service)["events"]["detail"] == "live 0.0 s behind (0), log 0.0 s behind (0)"
    in_memory = ": snapshot 1"
    wait_until(lambda: in_memory in _checks(service)["memory"]["detail"], within=60, what="the snapshot is measured")
    assert 7200 <= _metric(service, "sync_snapshot_age_seconds") < 7300
    plain.hset(redis_keys.SNAPSHOT_CREATED, checks["snapshot"]["detail"].partition(",")[0], "nan")
    unknown = "of unknown age: {fs:ptr}:created holds no Unix time"
    wait_until(lambda: unknown in _checks(service)["snapshot"]["detail"], within=60, what="the damage is named")
    assert _checks(service)["outcomes"] == {"status": "healthy", "detail": "0 s behind"}
    assert _metric(service, 'sync_redis_memory_bytes{family="snapshot"}') > 0


def test_the_lag_is_measured_while_a_snapshot_is_synced(service: httpx.Client, plain: Redis, tmp_path: Path) -> None:
    """A group of a user's own is behind; its age follows the clock all through a sync."""
    address = _snapshot(tmp_path / "s", datetime.now(UTC), users=600_000)
    plain.xgroup_create(redis_keys.EVENT_STREAM, "warehouse", "0", mkstream=True)
    since = plain.time()[0] - 1000
    plain.xadd(redis_keys.EVENT_STREAM, {"event": "no JSON"}, id=f"{since}000-0")
    name = 'sync_stream_lag_seconds{group="warehouse"}'
    wait_until(lambda: name in service.get("/metrics").text, within=60, what="the group is measured")
    job = service.post("/sync", json={"snapshot": address}, headers={"Authorization": "Bearer the-token"}).json()["job"]
    late = []
    while (state := service.get(f"/sync/{job}").json()["state"]) in ("queued", "running"):
        late.append(time.time() - since - _metric(service, name))
        time.sleep(0.05)
    assert state == "done"
    assert len(late) > 20
    assert max(late) < 3, "it is measured each second"
