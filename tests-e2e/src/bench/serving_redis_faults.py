"""The effect of each kind of Redis fault on callers."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import redis

from bench.observed_load import Answer, observe, p99
from bench.own_process import own_process
from bench.queries import new_queries
from bench.results import Goal, Result
from bench.servers import DEFAULT_BUDGETS, recommender, surroundings
from bench.slow_proxy import SlowProxy
from testkit.redis_server import RedisServer

PER_SECOND = 300
HEALTHY_SECONDS, FAULT_SECONDS, AFTER_SECONDS = 4.0, 10.0, 3.0
# Requests in flight when a fault begins or ends count neither as healthy nor as affected.
MARGIN_SECONDS = 0.1
SLOW_SECONDS = 0.3
# A tenth of a second of answers.
NORMAL_ANSWERS = 30


class Fault(NamedTuple):
    """A fault: how it begins and how it ends."""

    name: str
    begin: Callable[[], object]
    end: Callable[[], object]


def measure(folder: Path) -> list[Result]:
    """Break Redis for ten seconds in each way, at 300 requests a second."""
    paths = new_queries()
    results: list[Result] = []
    degraded = healthy = 0
    with (
        surroundings(folder) as around,
        SlowProxy(around.redis.port) as proxy,
        recommender(around, "api", {**DEFAULT_BUDGETS, "REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"}) as api,
        own_process() as process,
    ):

        def ask(seconds: float) -> Future[list[Answer]]:
            due = list(islice(paths, int(PER_SECOND * seconds)))
            return process.submit(observe, api.port, due, per_second=PER_SECOND)

        ask(HEALTHY_SECONDS).result()
        for fault in _faults(around.redis, proxy):
            load = ask(HEALTHY_SECONDS + FAULT_SECONDS + AFTER_SECONDS)
            time.sleep(HEALTHY_SECONDS)
            began = time.perf_counter()
            fault.begin()
            time.sleep(FAULT_SECONDS)
            ended = time.perf_counter()
            fault.end()
            normal = time.perf_counter()
            answers = load.result()
            before = [each for each in answers if each.due < began - MARGIN_SECONDS]
            unaffected = before + [each for each in answers if each.due > normal + AFTER_SECONDS / 2]
            healthy += len(unaffected)
            degraded += sum(each.level != 0 for each in unaffected)
            during = [each for each in answers if began <= each.due < ended]
            results += _lines(fault.name, answers, before, during, normal)
    part = "serving-redis-faults: "
    return [
        *results,
        Result(part + "degraded answers while Redis is healthy", degraded / healthy * 100, "%", Goal(most=0.1)),
    ]


def _lines(
    name: str, answers: Sequence[Answer], before: Sequence[Answer], during: Sequence[Answer], normal: float
) -> list[Result]:
    part = f"serving-redis-faults: {name}: "
    allowed = max(10.0, 1.5 * p99(before))
    back = _normal_from([each for each in answers if each.due >= normal]) - normal
    return [
        Result(part + "failed requests", sum(each.level is None for each in answers), "", Goal(most=0)),
        Result(part + "p99 before", p99(before), "ms"),
        Result(part + "p99 during", p99(during), "ms", Goal(most=round(allowed, 1))),
        Result(part + "degraded during", sum(each.level != 0 for each in during) / len(during) * 100, "%"),
        Result(part + "time until answers are normal", back, "s", Goal(most=0.5)),
    ]


def _normal_from(answers: Sequence[Answer]) -> float:
    """Return when the first of `NORMAL_ANSWERS` consecutive main path answers was due."""
    row: list[Answer] = []
    for each in sorted(answers):
        row = [*row, each] if each.level == 0 else []
        if len(row) == NORMAL_ANSWERS:
            return row[0].due
    return float("inf")


def _faults(server: RedisServer, proxy: SlowProxy) -> list[Fault]:
    def execute(*command: object) -> None:
        with redis.Redis.from_url(server.url, socket_timeout=5) as client:
            client.execute_command(*command)

    def full() -> None:
        execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
        execute("CONFIG", "SET", "maxmemory", "1mb")

    def roomy() -> None:
        execute("CONFIG", "SET", "maxmemory", "512mb")
        execute("CONFIG", "SET", "maxmemory-policy", "volatile-lru")

    def delayed(seconds: float) -> Callable[[], None]:
        return lambda: setattr(proxy, "delay", seconds)

    return [
        Fault("killed", server.kill, server.restart),
        Fault("hung", server.freeze, server.thaw),
        Fault("slow (300 ms)", delayed(SLOW_SECONDS), delayed(0.0)),
        Fault("partitioned", proxy.cut, proxy.join),
        Fault("read-only", lambda: execute("REPLICAOF", "127.0.0.1", "1"), lambda: execute("REPLICAOF", "NO", "ONE")),
        Fault("out of memory", full, roomy),
    ]
