"""Callers in a closed loop, above capacity and during the loss of Redis: rejections, and the wait of the others."""

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import OK
from itertools import count
from math import inf
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.results import Goal, Result
from localservers.waiting import wait_until
from prove.services import SERVICES, running
from ranking.testing import FIRST_DATASET_ID, Size, tiny_archive
from recommender_api.settings import Settings
from testkit.fake_registry import FakeRegistry
from testkit.redis_server import RedisServer

FEW, MANY = 12, 100
_SIZE = Size(datasets=400)
_SECONDS = 8.0
# Redis is killed after one third of the run, and is back after two thirds.
_KILLED, _BACK = _SECONDS / 3, _SECONDS * 2 / 3
# A queue that lasts for less than ten budgets is a burst, and is processed.
_BURST_SECONDS = 1.0
# The pause of a caller after a rejection: shorter than Retry-After.
_PAUSE_SECONDS = 0.1
_BUDGET_SECONDS = float(Settings.model_fields["queue_budget_ms"].default) / 1000
_SERVICE = next(service for service in SERVICES if service.name == "recommender-api")


@dataclass
class _Tally:
    """Answers by status and level, and the server's time (ms) for each answer after the burst."""

    statuses: Counter[int] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    server_ms: list[float] = field(default_factory=list)


def prove(folder: Path, seed: int) -> list[Result]:
    """Run both numbers of callers against one replica with default settings."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        registry = FakeRegistry()
        registry.deploy(registry.push("1", tiny_archive(folder / "bundle.tar.gz", size=_SIZE)))
        registry.start()
        stack.callback(registry.stop)
        redis = stack.enter_context(RedisServer(folder))
        settings = {"REGISTRY_URL": registry.url, "LOG_LEVEL": "WARNING"}
        api = stack.enter_context(running(_SERVICE, folder / "api", redis.url, settings))
        wait_until(lambda: _is_ready(api.port), within=90, what="the recommender has its model")
        with _busy_cores():
            few = asyncio.run(_run(api.port, FEW, chance, dearest=False, redis=redis))
        many, waits = asyncio.run(_past_capacity(api.port, chance))
    return [*_few_results(few), *_many_results(many, waits)]


def _few_results(tally: _Tally) -> Iterator[Result]:
    name = f"{FEW} callers, two busy cores, Redis killed and back"
    yield Result(f"{name}: answered", tally.statuses[200], "answers")
    degraded = tally.levels.total() - tally.levels["0"]
    yield Result(f"{name}: degraded", degraded, "answers", Goal(least=1))
    yield Result(f"{name}: rejected", tally.statuses.total() - tally.statuses[200], "answers", Goal(most=0))


def _many_results(tally: _Tally, waits: Mapping[float, int]) -> Iterator[Result]:
    name = f"{MANY} callers of the most expensive request"
    yield Result(f"{name}: answered", tally.statuses[200], "answers", Goal(least=1))
    yield Result(f"{name}: rejected", tally.statuses[503], "answers", Goal(least=1))
    in_time = max(waits[bound] for bound in waits if bound <= _BUDGET_SECONDS)
    for bound in sorted(waits):
        yield Result(f"{name}: waited ≤ {bound * 1000:g} ms of work", waits[bound], "answers")
    yield Result(f"{name}: waited longer than the budget", waits[inf] - in_time, "answers", Goal(most=0))
    yield Result(f"{name}: median time in the server", sorted(tally.server_ms)[len(tally.server_ms) // 2], "ms")


async def _past_capacity(port: int, chance: random.Random) -> tuple[_Tally, dict[float, int]]:
    """Return the number of answers, and of waits by work, after the burst."""

    async def after_the_burst() -> dict[float, int]:
        await asyncio.sleep(_BURST_SECONDS)
        return await asyncio.to_thread(_waits, port)

    tally, before = await asyncio.gather(_run(port, MANY, chance, dearest=True), after_the_burst())
    return tally, {bound: count - before[bound] for bound, count in _waits(port).items()}


def _waits(port: int) -> dict[float, int]:
    """Return how many requests waited for at most this much other work (s) during the overload."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    return {
        float(sample.labels["le"]): int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "recommender_queue_work_seconds_bucket"
    }


async def _run(
    port: int, callers: int, chance: random.Random, *, dearest: bool, redis: RedisServer | None = None
) -> _Tally:
    """Run this many callers that send one request after another; Redis, if given, is killed and restarted meanwhile."""
    tally, paths = _Tally(), _queries(chance, dearest=dearest)
    began = time.perf_counter()
    await asyncio.gather(
        *(_caller(port, paths, tally, began, chance) for _ in range(callers)),
        *([] if redis is None else [_kill_and_bring_back(redis)]),
    )
    return tally


async def _kill_and_bring_back(redis: RedisServer) -> None:
    await asyncio.sleep(_KILLED)
    await asyncio.to_thread(redis.kill)
    await asyncio.sleep(_BACK - _KILLED)
    await asyncio.to_thread(redis.restart)


async def _caller(port: int, paths: Iterator[str], tally: _Tally, began: float, chance: random.Random) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (now := time.perf_counter()) < began + _SECONDS:
            writer.write(f"GET {next(paths)} HTTP/1.1\r\nHost: proof\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            await reader.readexactly(int(_header(head, "content-length")))
            status = int(head.split(" ", 2)[1])
            tally.statuses[status] += 1
            if status != OK:
                await asyncio.sleep(_PAUSE_SECONDS * chance.uniform(0.5, 1.5))
                continue
            tally.levels[_header(head, "x-fallback-level")] += 1
            if now > began + _BURST_SECONDS:
                tally.server_ms.append(float(_header(head, "x-response-time")) * 1000)
    finally:
        writer.close()


def _header(head: str, name: str) -> str:
    return head.partition(f"\r\n{name}:")[2].partition("\r\n")[0].strip()


def _queries(chance: random.Random, *, dearest: bool) -> Iterator[str]:
    """Return requests that no cache can answer, or the most expensive ones: those with the longest answers."""
    for number in count(1):
        dataset = FIRST_DATASET_ID + chance.randrange(_SIZE.datasets - 10)
        more = "&limit=50" if dearest else ""
        yield f"/recommend/detail/{dataset}?user_id={number}{more}"


@contextmanager
def _busy_cores() -> Iterator[None]:
    """Keep two cores busy, as neighbours on a small machine do."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        yield
    finally:
        for each in busy:
            each.kill()
            each.wait()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).is_success
    except httpx.TransportError:
        return False
