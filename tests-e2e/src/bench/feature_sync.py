"""What live features and the event log cost: memory an interaction, calls that hold up Redis, CPU an event."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from bench.feature_sync_outcomes import measure_outcomes
from bench.feature_sync_snapshots import measure_increments
from bench.feature_sync_whole import measure_whole
from bench.results import Goal, Result
from bench.servers import Server
from contracts import redis_keys
from contracts.events import BehaviorEvent
from feature_sync.connections import open_redis
from feature_sync.events.live import LiveFeatures
from feature_sync.hot.counts import HotCounts
from feature_sync.hot.refresh import HotWindows
from localservers.ports import Ports
from localservers.waiting import wait_until
from recommender_api.redis_store import NewEvent, open_store
from servicekit.redis_urls import disconnect
from testkit.postgres import running_server
from testkit.redis_server import RedisServer

INTERACTIONS, USERS, DATASETS = 1_000_000, 100_000, 5_000
ACTIVE_DATASETS = 100_000
BATCH = 1000
CPU_EVENTS, CPU_USERS = 40_000, 4_000
DEDUP_PREFIXES = ("accepted:", "counted:")
# Other processes on this core interrupt some calls, also those of a single command.
SLOW_SHARE = 0.99


def measure(folder: Path) -> list[Result]:
    """Measure memory over a million interactions, calls at 100,000 datasets, and the CPU time of a worker."""
    results = []
    with RedisServer(folder) as server, Redis.from_url(server.url, socket_timeout=60) as redis:
        results += asyncio.run(_memory(server, redis))
    for name in ("hot", "cpu", "snapshots", "whole"):
        (folder / name).mkdir()
    with RedisServer(folder / "hot") as server, Redis.from_url(server.url, socket_timeout=60) as redis:
        results += asyncio.run(_calls(server, redis))
    results += measure_increments(folder / "snapshots")
    results += measure_outcomes()
    return [*results, *_cpu(folder / "cpu"), *measure_whole(folder / "whole", _worker)]


def _events(count: int, *, users: int, datasets: int, name: str) -> Iterator[list[BehaviorEvent]]:
    chance = random.Random(42)
    numbers = list(range(count))
    chance.shuffle(numbers)
    for start in range(0, count, BATCH):
        ts = datetime.now(UTC)
        yield [
            BehaviorEvent(
                event_id=f"{name}-{number}",
                type="view",
                user_id=number % users + 1,
                # Popular ones take most, as in a real catalogue.
                dataset_id=int(datasets * chance.random() ** 2) + 1,
                ts=ts,
            )
            for number in numbers[start : start + BATCH]
        ]


async def _memory(server: RedisServer, redis: Redis) -> list[Result]:
    client, store = open_redis(server.url), open_store(server.url, budget=60)
    live = LiveFeatures(client, time.time)
    before = _used(redis)
    for events in _events(INTERACTIONS, users=USERS, datasets=DATASETS, name="web-7f3a"):
        added = [NewEvent(event.event_id, event.to_stream()["event"].encode()) for event in events]
        for start in range(0, BATCH, BATCH // 4):
            await store.add_events(added[start : start + BATCH // 4])
        await live.apply(events)
        # As after both groups have it.
        await client.xtrim(redis_keys.EVENT_STREAM, maxlen=0, approximate=False)
    await HotWindows(client).refresh()
    used = (_used(redis) - before) / INTERACTIONS
    dedup = sum(redis.memory_usage(key) or 0 for key in redis.scan_iter(count=10_000) if _is_dedup(key))
    await disconnect(client)
    await store.close()
    part = "feature-sync: memory: "
    return [
        Result(part + f"an interaction, {INTERACTIONS // USERS} a user", used, "B", Goal(most=40)),
        Result(part + "of it for recognizing repeats", dedup / INTERACTIONS, "B", Goal(most=16)),
    ]


def _is_dedup(key: bytes) -> bool:
    return key.decode().startswith(DEDUP_PREFIXES)


def _used(redis: Redis) -> int:
    info: Any = redis.info("memory")
    return int(info["used_memory"])


async def _calls(server: RedisServer, redis: Redis) -> list[Result]:
    """Count, and slide 24 h of slices, while 100,000 datasets are active."""
    client = open_redis(server.url)
    now = [time.time() - 7200]
    counts, windows = HotCounts(client, lambda: now[0]), HotWindows(client, lambda: now[0])
    await windows.refresh()
    for step in range(4):
        for start in range(0, ACTIVE_DATASETS, BATCH):
            await counts.count(_views(range(start + 1, start + BATCH + 1), f"calls-{step}", now[0]))
        now[0] += 600
    redis.config_set("slowlog-log-slower-than", 0)
    redis.config_set("slowlog-max-len", 100_000)
    redis.slowlog_reset()
    redis.config_resetstat()
    now[0] += 3600
    for _ in range(20):
        await windows.refresh()
        await counts.count(_views(range(1, 501), f"later-{now[0]}", now[0]))
        now[0] += 1
    stats: Any = redis.info("commandstats")
    log: Any = redis.slowlog_get(100_000)
    durations = sorted(each["duration"] for each in log if each["command"].startswith((b"EVAL", b"HGETALL")))
    await disconnect(client)
    part = f"feature-sync: calls at {ACTIVE_DATASETS:,} datasets: "
    return [
        Result(part + "a script, mean", stats["cmdstat_evalsha"]["usec_per_call"], "µs", Goal(most=500)),
        Result(part + "99 % of all calls", durations[int(len(durations) * SLOW_SHARE)], "µs", Goal(most=500)),
        Result(part + "the slowest", durations[-1], "µs"),
    ]


def _views(datasets: Sequence[int], name: str, at: float) -> list[BehaviorEvent]:
    ts = datetime.fromtimestamp(at, UTC)
    return [
        BehaviorEvent(event_id=f"{name}-{number}", type="view", user_id=1, dataset_id=number, ts=ts)
        for number in datasets
    ]


def _cpu(folder: Path) -> list[Result]:
    """Let a worker process a stream that is full, and divide the CPU time of all three by the events."""
    with ExitStack() as stack:
        postgres = stack.enter_context(running_server())
        postgres.cluster.ensure_database("recsys")
        server = stack.enter_context(RedisServer(folder))
        redis = stack.enter_context(Redis.from_url(server.url, socket_timeout=60))
        worker = stack.enter_context(_worker(server.url, postgres.cluster.url("recsys"), folder))
        wait_until(lambda: redis.exists(redis_keys.EVENT_STREAM), within=60, what="the worker is running")
        _send(redis, 2_000, "warm-up")
        of_redis = Server(server.port, psutil.Process(server.pid))
        before = worker.cpu(), of_redis.cpu()
        _send(redis, CPU_EVENTS, "measured")
        spent = [
            (server.cpu() - start) / CPU_EVENTS * 1e6 for server, start in zip((worker, of_redis), before, strict=True)
        ]
        part = "feature-sync: CPU an event: "
        return [
            Result(part + "worker", spent[0], "µs", Goal(most=60)),
            Result(part + "Redis", spent[1], "µs", Goal(most=30)),
        ]


def _send(redis: Redis, count: int, name: str) -> None:
    for events in _events(count, users=CPU_USERS, datasets=DATASETS, name=name):
        pipeline = redis.pipeline(transaction=False)
        for event in events:
            fields: Any = event.to_stream()
            pipeline.xadd(redis_keys.EVENT_STREAM, fields)
        pipeline.execute()
    wait_until(lambda: not redis.xlen(redis_keys.EVENT_STREAM), within=300, every=0.5, what="the stream is empty")


@contextmanager
def _worker(redis_url: str, database_url: str, folder: Path) -> Iterator[Server]:
    port = Ports.free().sync
    environment = {
        **{name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ},
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "PORT": str(port),
    }
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "feature_sync"], env=environment, stderr=log)
        try:
            yield Server(port, psutil.Process(process.pid))
        finally:
            process.kill()
            process.wait()
