"""Compares servers in interleaved rounds: noise affects all of them, and the minimum is the cost.

There are many rounds because quiet moments of the machine are short, and a more expensive server needs longer ones.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.load import ask_all
from bench.servers import Server

REQUESTS = 800
WARM_UP = 300
ROUNDS = 24


@dataclass(frozen=True)
class Cost:
    """CPU per request and median latency, both in µs, and resident memory in MB after the last round."""

    cpu: float
    p50: float
    resident: float


def compare(
    servers: Mapping[str, Server],
    paths: Mapping[str, Callable[[int], Sequence[str]]],
    *,
    rounds: int = ROUNDS,
    requests: int = REQUESTS,
) -> dict[str, Cost]:
    """Return each server's lowest cost; `paths[name](n)` are the next n paths for it."""
    for name, server in servers.items():
        ask_all(server.port, paths[name](min(WARM_UP, requests)))
    cpu: dict[str, list[float]] = {name: [] for name in servers}
    p50: dict[str, list[float]] = {name: [] for name in servers}
    for number in range(rounds):
        for name in sorted(servers, reverse=bool(number % 2)):
            before = servers[name].cpu()
            latencies = ask_all(servers[name].port, paths[name](requests))
            cpu[name].append((servers[name].cpu() - before) / requests * 1e6)
            p50[name].append(statistics.median(latencies) * 1e6)
    return {name: Cost(min(cpu[name]), min(p50[name]), server.resident()) for name, server in servers.items()}
