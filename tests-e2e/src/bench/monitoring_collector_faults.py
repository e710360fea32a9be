"""What a caller notices of a collector that misbehaves while the service has faults to report."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import httpx
import numpy as np
from numpy.typing import NDArray

from bench.collector import collector
from bench.load import ask_all
from bench.questions import new_questions
from bench.results import Goal, Result
from bench.servers import Server, Surroundings, monitored_by, recommender, surroundings
from native.waiting import wait_until

# Compared first are two collectors that are well: how far the measurement itself can be trusted.
MODES = ("ok", "hang", "429", "500", "garbage", "slow", "down")
ROUNDS = 40
# A pace that keeps the server busy: what monitoring's own thread takes is taken from the answers.
PER_SECOND = 1000
REQUESTS = 600
FIRST_REPORTS = 50
RESAMPLES = 400


def measure(folder: Path) -> list[Result]:
    """Compare the p99 of degraded answers in each mode with that beside a collector that is well.

    Two servers take turns of half a second, so that the machine's noise hits both alike; who isn't asked is stopped.
    In each round an outage of Redis begins, whose first reports go at once.
    """
    questions = new_questions()
    with surroundings(folder) as around:
        return [result for mode in MODES for result in _compared(around, mode, questions)]


def ratio_of_p99(tried: NDArray[np.float64], plain: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return p99 / p99 of all latencies [rounds, requests], and its 95 % interval by resampled pairs of rounds.

    Percentile bootstrap over whole rounds (Efron 1979): latencies of one round are not independent of each other.
    """
    draw = np.random.default_rng(1)
    rounds = len(tried)
    resampled = [
        _p99(tried[chosen]) / _p99(plain[chosen])
        for chosen in (draw.integers(0, rounds, rounds) for _ in range(RESAMPLES))
    ]
    least, most = np.percentile(resampled, [2.5, 97.5])
    return _p99(tried) / _p99(plain), float(least), float(most)


def _compared(around: Surroundings, mode: str, questions: Iterator[str]) -> list[Result]:
    with (
        collector() as well,
        collector() as faulty,
        recommender(around, f"{mode}-plain", monitored_by(well, around.folder / f"{mode}-plain")) as plain,
        recommender(around, f"{mode}-tried", monitored_by(faulty, around.folder / f"{mode}-tried")) as tried,
    ):
        faulty.answer(mode)
        servers = {"plain": plain, "tried": tried}
        _round(around, servers, questions)
        before = tried.resident()
        rounds = []
        for _ in range(ROUNDS):
            servers = dict(reversed(servers.items()))
            rounds.append(_round(around, servers, questions))
        grown = tried.resident() - before
    latencies = {name: np.array([each[name] for each in rounds]) for name in servers}
    ratio, least, most = ratio_of_p99(latencies["tried"], latencies["plain"])
    part = "monitoring-collector-faults: "
    return [
        Result(part + f"p99, {mode} / well", ratio, "×", None if mode == "ok" else Goal(most=1.05)),
        Result(part + f"p99, {mode} / well, 95 % from", least, "×"),
        Result(part + f"p99, {mode} / well, 95 % to", most, "×"),
        Result(part + f"p99 beside well, with {mode}", _p99(latencies["plain"]) * 1e3, "ms"),
        Result(part + f"resident memory added, {mode}", grown, "MB", Goal(most=10)),
    ]


def _round(around: Surroundings, servers: Mapping[str, Server], questions: Iterator[str]) -> dict[str, list[float]]:
    """End one outage of Redis and begin the next; return the latencies of each server's turn in it."""
    around.redis.restart()
    for server in servers.values():
        _wait_until_normal(server, questions)
    around.redis.kill()
    for server in servers.values():
        server.process.send_signal(SIGSTOP)
    try:
        return {name: _turn(server, questions) for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.process.send_signal(SIGCONT)


def _turn(server: Server, questions: Iterator[str]) -> list[float]:
    server.process.send_signal(SIGCONT)
    try:
        ask_all(server.port, list(islice(questions, FIRST_REPORTS)))
        return ask_all(server.port, list(islice(questions, REQUESTS)), per_second=PER_SECOND)
    finally:
        server.process.send_signal(SIGSTOP)


def _wait_until_normal(server: Server, questions: Iterator[str]) -> None:
    def normal() -> bool:
        answer = httpx.get(f"http://127.0.0.1:{server.port}{next(questions)}", timeout=5)
        return answer.headers["X-Fallback-Level"] == "0"

    wait_until(normal, within=10, what="answers are level 0")


def _p99(latencies: NDArray[np.float64]) -> float:
    return float(np.percentile(latencies, 99))
