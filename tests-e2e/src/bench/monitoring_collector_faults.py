"""What a caller notices of a collector that misbehaves while the service has faults to report."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx
import numpy as np

from bench.load import ask_all
from bench.questions import new_questions
from bench.results import Goal, Result
from bench.servers import Server, monitored_by, recommender, surroundings
from native.waiting import wait_until
from testkit.redis_server import RedisServer
from testkit.stand_in import StandIn

MODES = ("hang", "429", "500", "garbage", "slow", "down")
ROUNDS = 5
PER_SECOND = 300
REQUESTS = 900


def measure(folder: Path) -> list[Result]:
    """Compare the p99 of degraded answers in each mode with that beside a collector that is well."""
    receiver = StandIn()
    receiver.start()
    questions = new_questions()
    p99: dict[str, list[float]] = defaultdict(list)
    try:
        with (
            surroundings(folder) as around,
            recommender(around, "on", monitored_by(receiver, folder)) as monitored,
        ):
            _outage(around.redis, monitored, questions)
            ask_all(monitored.port, list(islice(questions, REQUESTS)), per_second=PER_SECOND)
            before = monitored.resident()
            for number in range(ROUNDS):
                for mode in ("ok", *MODES) if number % 2 else (*MODES, "ok"):
                    receiver.mode = mode
                    _outage(around.redis, monitored, questions)
                    latencies = ask_all(monitored.port, list(islice(questions, REQUESTS)), per_second=PER_SECOND)
                    p99[mode].append(float(np.percentile(latencies, 99)))
                    receiver.released.set()
                    receiver.released.clear()
            grown = monitored.resident() - before
    finally:
        receiver.mode = "ok"
        receiver.stop()
    part = "monitoring-collector-faults: "
    well = min(p99["ok"])
    return [
        Result(part + "p99 with a collector that is well", well * 1e3, "ms"),
        *(Result(part + f"p99, {mode} / well", min(p99[mode]) / well, "×", Goal(most=1.05)) for mode in MODES),
        Result(part + "resident memory added", grown, "MB", Goal(most=10)),
    ]


def _outage(redis: RedisServer, server: Server, questions: Iterator[str]) -> None:
    """End one outage of Redis and begin the next: its first reports go at once, while the load is measured."""
    redis.restart()
    wait_until(lambda: not _degraded(server, next(questions)), within=10, what="answers are level 0")
    redis.kill()
    ask_all(server.port, list(islice(questions, 50)))


def _degraded(server: Server, path: str) -> bool:
    answer = httpx.get(f"http://127.0.0.1:{server.port}{path}", timeout=5)
    return answer.headers["X-Fallback-Level"] != "0"
