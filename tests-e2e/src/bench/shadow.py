"""The effect on the primary's answers of a shadow that gets every query."""

from functools import partial
from itertools import islice
from pathlib import Path

import httpx
import numpy as np

from bench.load import ask_all
from bench.queries import new_queries
from bench.results import Goal, Result
from bench.servers import Server, recommender, surroundings
from bench.size import FULL_SIZE
from localservers.waiting import wait_until
from ranking.testing import tiny_archive

PER_SECOND = 200
REQUESTS = 1_000
ROUNDS = 8


def measure(folder: Path) -> list[Result]:
    """Compare answers with and without mirroring, at an even pace and in interleaved rounds."""
    paths = new_queries()
    with surroundings(folder) as around:
        other = tiny_archive(folder / "shadow.tar.gz", version="2", seed=1, size=FULL_SIZE)
        primary = (around.registry.active or {})["primary"]
        around.registry.deploy(primary, shadow=around.registry.push("2", other))
        with (
            recommender(around, "alone", {"SHADOW_SAMPLE_RATE": "0"}) as alone,
            recommender(around, "mirrored", {"SHADOW_SAMPLE_RATE": "1"}) as mirrored,
        ):
            servers = {"alone": alone, "mirrored": mirrored}
            for server in servers.values():
                wait_until(partial(_is_loaded, server), within=30, what="the shadow is loaded")
                ask_all(server.port, list(islice(paths, 300)))
            latencies: dict[str, list[float]] = {name: [] for name in servers}
            cpu = dict.fromkeys(servers, 0.0)
            for number in range(ROUNDS):
                for name in sorted(servers, reverse=bool(number % 2)):
                    before = servers[name].cpu()
                    latencies[name] += ask_all(servers[name].port, list(islice(paths, REQUESTS)), per_second=PER_SECOND)
                    cpu[name] += servers[name].cpu() - before
            report = _report(mirrored) or {}
    p50, p99 = (
        {name: float(np.quantile(values, share)) for name, values in latencies.items()} for share in (0.5, 0.99)
    )
    seconds = ROUNDS * REQUESTS / PER_SECOND
    part = f"shadow, {PER_SECOND} requests/s: "
    return [
        Result(part + "compared", report["compared"], "answers"),
        Result(part + "dropped", report["dropped"], "queries"),
        Result(part + "p50, not mirrored", p50["alone"] * 1e3, "ms"),
        Result(part + "p50, mirrored / not mirrored", p50["mirrored"] / p50["alone"], "×"),
        Result(part + "p99, not mirrored", p99["alone"] * 1e3, "ms"),
        Result(part + "p99, mirrored / not mirrored", p99["mirrored"] / p99["alone"], "×"),
        Result(
            part + "share of the process's time for the shadow",
            (cpu["mirrored"] - cpu["alone"]) / seconds * 100,
            "%",
            Goal(most=5.0),
        ),
    ]


def _is_loaded(server: Server) -> bool:
    return _report(server) is not None


def _report(server: Server) -> dict[str, int] | None:
    response = httpx.get(f"http://127.0.0.1:{server.port}/models/shadow", timeout=5)
    report: dict[str, int] | None = response.json() if response.is_success else None
    return report
