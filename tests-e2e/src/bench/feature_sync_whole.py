"""What an event costs in all programs: from `POST /events` until it is live and in PostgreSQL."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import httpx
import psutil
from redis import Redis

from bench.feature_sync_outcomes import cpu_of
from bench.results import Goal, Result
from bench.servers import Server, Surroundings, recommender
from contracts import redis_keys
from localservers.waiting import wait_until
from ranking.testing import tiny_archive
from testkit.fake_registry import FakeRegistry
from testkit.postgres import running_server
from testkit.redis_server import RedisServer

EVENTS, BATCH, USERS, DATASETS = 40_000, 100, 4_000, 5_000
_TOKEN = "bench-events"
# Starts feature-sync over the URLs of Redis and of the database, with its log in a folder.
StartWorker = Callable[[str, str, Path], AbstractContextManager[Server]]


def measure_whole(folder: Path, worker: StartWorker) -> list[Result]:
    """Post 40,000 events in batches of 100, and divide the CPU time of all four programs by them."""
    registry = FakeRegistry()
    registry.deploy(registry.push("1", tiny_archive(folder / "bundle.tar.gz")))
    registry.start()
    with ExitStack() as stack:
        stack.callback(registry.stop)
        postgres = stack.enter_context(running_server())
        postgres.cluster.ensure_database("recsys")
        server = stack.enter_context(RedisServer(folder))
        redis = stack.enter_context(Redis.from_url(server.url, socket_timeout=60))
        sync = stack.enter_context(worker(server.url, postgres.cluster.url("recsys"), folder))
        around = Surroundings(server, registry, folder)
        api = stack.enter_context(recommender(around, "events-api", {"EVENTS_TOKEN": _TOKEN}))
        wait_until(lambda: redis.exists(redis_keys.EVENT_STREAM), within=60, what="the worker is running")
        of_redis = Server(server.port, psutil.Process(server.pid))
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{api.port}", headers=headers, timeout=60))

        def cpu() -> list[float]:
            return [api.cpu(), of_redis.cpu(), sync.cpu(), cpu_of(postgres)]

        numbers = count()
        _post(client, redis, numbers, 20 * BATCH)
        before = cpu()
        _post(client, redis, numbers, EVENTS)
        spent = [(after - start) / EVENTS * 1e6 for start, after in zip(before, cpu(), strict=True)]
    part = f"feature-sync: CPU an event, {BATCH} a request: "
    names = ("recommender-api", "Redis", "worker", "PostgreSQL")
    return [
        *(Result(part + name, value, "µs") for name, value in zip(names, spent, strict=True)),
        Result(part + "all", sum(spent), "µs", Goal(most=170)),
    ]


def _post(client: httpx.Client, redis: Redis, numbers: "count[int]", events: int) -> None:
    """Post events one batch after the other, and wait until all are processed."""
    for _ in range(events // BATCH):
        ts = datetime.now(UTC).isoformat()
        batch = [
            {
                "event_id": f"whole-{number}",
                "type": "view",
                "user_id": number % USERS + 1,
                "dataset_id": number % DATASETS + 1,
                "ts": ts,
            }
            for number in (next(numbers) for _ in range(BATCH))
        ]
        client.post("/events", json={"events": batch}).raise_for_status()
    wait_until(lambda: not redis.xlen(redis_keys.EVENT_STREAM), within=300, every=0.5, what="the stream is empty")
