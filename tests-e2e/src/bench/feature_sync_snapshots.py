"""What a sync of changes costs, of what a sync of all users does."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from redis import Redis

from bench.results import Goal, Result
from bench.servers import Server
from contracts.features import USER_FEATURES
from contracts.snapshot import add_increment, write_snapshot
from contracts.user_blob import History, UserBlob
from feature_sync.connections import RedisFaults, open_redis
from feature_sync.metrics import Metrics
from feature_sync.snapshots.job_store import JobStore
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.switch import SnapshotSwitch
from servicekit.redis_urls import disconnect
from testkit.redis_server import RedisServer

USERS, ENTRIES = 100_000, 50
# One in twenty changes from one night to the next.
CHANGED = 20


class _Cost(NamedTuple):
    """CPU time (s) of a worker's sync, that of Redis, and the bytes that Redis received."""

    worker: float
    redis: float
    received: int


def measure_increments(folder: Path) -> list[Result]:
    """Sync 100,000 users, and then the 5 % that have changed since."""
    now = datetime.now(UTC)
    snapshots = [folder / "v1", folder / "v2"]
    for night, snapshot in enumerate(snapshots):
        write_snapshot(snapshot, snapshot.name, now + timedelta(minutes=night), _users(night))
    add_increment(snapshots[1], snapshots[0], 1)
    with RedisServer(folder) as server, Redis.from_url(server.url, socket_timeout=60) as redis:
        whole, changes = asyncio.run(_sync(server, redis, snapshots))
    cpu = (changes.worker + changes.redis) / (whole.worker + whole.redis)
    part = f"feature-sync: a sync of {USERS:,} users: "
    changed = f"feature-sync: a sync of {100 // CHANGED} % changed users: "
    return [
        Result(part + "worker", whole.worker / USERS * 1e6, "µs/user"),
        Result(part + "Redis", whole.redis / USERS * 1e6, "µs/user"),
        Result(changed + "CPU of it", cpu * 100, "%", Goal(most=15)),
        Result(changed + "bytes of it", changes.received / whole.received * 100, "%", Goal(most=15)),
    ]


def _users(night: int) -> Iterator[tuple[int, bytes]]:
    rng = np.random.default_rng(42)
    history = History(np.arange(ENTRIES) + 1, np.full(ENTRIES, 1_700_000_000), np.ones(ENTRIES, np.uint8))
    features = rng.random((USERS, len(USER_FEATURES)), np.float32)
    for user in range(USERS):
        changed = night if user % CHANGED == 0 else 0
        yield user + 1, UserBlob(features[user] + changed, history).pack()


async def _sync(server: RedisServer, redis: Redis, snapshots: list[Path]) -> list[_Cost]:
    client = open_redis(server.url)
    jobs = SyncJobs(SnapshotSwitch(client), JobStore(client, "bench"), RedisFaults(server.url), Metrics())
    of_redis = Server(server.port, psutil.Process(server.pid))
    costs = []
    for snapshot in snapshots:
        job = await jobs.submit(str(snapshot))
        before = time.process_time(), of_redis.cpu(), _received(redis)
        await jobs.step()
        if job.state != "done" or (job.base is None) != (snapshot is snapshots[0]):
            raise RuntimeError(f"{snapshot.name}: {job}")
        after = time.process_time(), of_redis.cpu(), _received(redis)
        costs.append(_Cost(after[0] - before[0], after[1] - before[1], after[2] - before[2]))
    await disconnect(client)
    return costs


def _received(redis: Redis) -> int:
    info: Any = redis.info("stats")
    return int(info["total_net_input_bytes"])
