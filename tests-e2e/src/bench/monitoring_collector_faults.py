"""The effect of a faulty collector on callers while the service has faults to report."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from bench.collector import collector
from bench.queries import new_queries
from bench.results import Goal, Result
from bench.servers import Server, Surroundings, monitored_by, recommender, surroundings
from bench.turns import TurnClient, prefer, start_turn_client
from localservers.waiting import wait_until

# Two healthy collectors are compared first: this shows the precision of the measurement.
MODES = ("ok", "hang", "429", "500", "garbage", "slow", "down")
OUTAGES = 9
# For each server in an outage. Its first reports slow some twenty answers; among 10,000 these don't affect the p99, and
# a real outage is longer.
TURNS = 10
REQUESTS = 1000
RESAMPLES = 1000


def measure(folder: Path) -> list[Result]:
    """Compare the p99 of degraded answers in each mode with that of a healthy collector.

    Outages of Redis follow each other. The first reports are sent at the start of each, repeats and recoveries at its
    end.
    """
    paths = new_queries()
    with surroundings(folder) as around, start_turn_client() as client:
        return [result for mode in MODES for result in _compare(around, mode, client, paths)]


def ratio_of_p99(tried: NDArray[np.float64], plain: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return p99 / p99 of all latencies [turns, requests], and its 95 % interval by resampled pairs of turns.

    Percentile bootstrap over whole turns (Efron 1979): latencies of one turn are not independent of each other.
    """
    draw = np.random.default_rng(1)
    turns = len(tried)
    resampled = [
        _p99(tried[chosen]) / _p99(plain[chosen])
        for chosen in (draw.integers(0, turns, turns) for _ in range(RESAMPLES))
    ]
    least, most = np.percentile(resampled, [2.5, 97.5])
    return _p99(tried) / _p99(plain), float(least), float(most)


def _compare(around: Surroundings, mode: str, client: TurnClient, paths: Iterator[str]) -> list[Result]:
    with (
        collector() as healthy,
        collector() as faulty,
        recommender(around, f"{mode}-plain", monitored_by(healthy, around.folder / f"{mode}-plain")) as plain,
        recommender(around, f"{mode}-tried", monitored_by(faulty, around.folder / f"{mode}-tried")) as tried,
    ):
        faulty.answer(mode)
        servers = {"plain": plain, "tried": tried}
        for server in servers.values():
            prefer(server)
        _outage(around, servers, client, paths, turns=2)
        before = tried.resident()
        outages = []
        for _ in range(OUTAGES):
            servers = dict(reversed(servers.items()))
            outages.append(_outage(around, servers, client, paths, turns=TURNS))
        grown = tried.resident() - before
        events = _events(tried)
    latencies = {name: np.concatenate([each[name] for each in outages]) for name in servers}
    first_turns = {name: np.array([each[name][0] for each in outages]) for name in servers}
    ratio, least, most = ratio_of_p99(latencies["tried"], latencies["plain"])
    part = "monitoring-collector-faults: "
    return [
        Result(part + f"p99, {mode} / healthy", ratio, "×", None if mode == "ok" else Goal(most=1.05)),
        Result(part + f"p99, {mode} / healthy, 95 % interval from", least, "×"),
        Result(part + f"p99, {mode} / healthy, 95 % interval to", most, "×"),
        Result(part + f"p99 with the healthy one beside {mode}", _p99(latencies["plain"]) * 1e3, "ms"),
        Result(part + f"start of an outage, {mode}", _excess(first_turns["tried"]) * 1e3, "ms"),
        Result(part + f"start of an outage, healthy beside {mode}", _excess(first_turns["plain"]) * 1e3, "ms"),
        Result(part + f"events sent, {mode}", events, ""),
        Result(part + f"resident memory added, {mode}", grown, "MB", Goal(most=10)),
    ]


def _outage(
    around: Surroundings, servers: Mapping[str, Server], client: TurnClient, paths: Iterator[str], *, turns: int
) -> dict[str, NDArray[np.float64]]:
    """End one outage of Redis and begin the next; return the latencies of each server in it."""
    around.redis.restart()
    for server in servers.values():
        _wait_until_normal(server, paths)
    around.redis.kill()
    return client.measure(servers, list(islice(paths, 2 * turns * REQUESTS)), turns=turns, requests=REQUESTS)


def _wait_until_normal(server: Server, paths: Iterator[str]) -> None:
    def normal() -> bool:
        answer = httpx.get(f"http://127.0.0.1:{server.port}{next(paths)}", timeout=5)
        return answer.headers["X-Fallback-Level"] == "0"

    wait_until(normal, within=10, what="answers are level 0")


def _events(server: Server) -> float:
    """Return the number of a server's events so far: delivered, or waiting for delivery."""
    text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", timeout=5).text
    made = {"monitoring_events_delivered_total", "monitoring_events_waiting"}
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in made
    )


def _excess(latencies: NDArray[np.float64]) -> float:
    """Return the total time (s) of a row's latencies above their median; the median of all rows."""
    over = np.maximum(latencies - np.median(latencies), 0.0)
    return float(np.median(over.sum(axis=1)))


def _p99(latencies: NDArray[np.float64]) -> float:
    return float(np.percentile(latencies, 99))
