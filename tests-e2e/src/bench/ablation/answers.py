"""What an answer costs with each piece of machinery, and with the plain way in its place; what a start costs."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from bench.ablation.servers import variant
from bench.ablation.variants import AVX2, SERVING, UNCHANGED
from bench.queries import new_queries
from bench.results import Goal, Result
from bench.rounds import Cost, compare
from bench.servers import Surroundings, hello, surroundings

ROUNDS, REQUESTS = 24, 400
_HELLO = "hello"
# By kind of answer: what a variant may cost, in hellos.
_GOALS = {("ranked", UNCHANGED): 2.0, ("ranked", AVX2): 2.2, ("cached", UNCHANGED): 0.7, ("cached", AVX2): 0.7}


def measure(folder: Path) -> list[Result]:
    """Compare all variants in interleaved rounds."""
    questions = new_queries()
    results: list[Result] = []
    with surroundings(folder) as around:
        with ExitStack() as stack:
            servers = {name: stack.enter_context(variant(name)(around, name, {})) for name in SERVING}
            servers[_HELLO] = stack.enter_context(hello(around))
            for kind, paths in (
                ("ranked", lambda n: list(islice(questions, n))),
                ("cached", lambda n: ["/similar/101?limit=20"] * n),
            ):
                asked = dict.fromkeys(servers, paths) | {_HELLO: lambda n: ["/"] * n}
                results += _results(kind, compare(servers, asked, rounds=ROUNDS, requests=REQUESTS))
        results += _starts(around)
    return results


def _results(kind: str, costs: Mapping[str, Cost]) -> Iterator[Result]:
    unchanged = costs[UNCHANGED].cpu
    yield Result(f"ablation: CPU of a {kind} answer", unchanged, "µs")
    for (of, name), most in _GOALS.items():
        if of == kind:
            yield Result(f"ablation: {kind} / hello, {name}", costs[name].cpu / costs[_HELLO].cpu, "×", Goal(most=most))
    for name in SERVING:
        if name != UNCHANGED:
            yield Result(f"ablation: {kind}, {name}", (costs[name].cpu / unchanged - 1) * 100, "% more")


def _starts(around: Surroundings) -> Iterator[Result]:
    """Yield how long a start takes with the loops compiled beforehand, and without."""
    for name, environment, goal in (
        ("loops compiled in the image", {}, Goal(most=10)),
        ("loops compiled at the start", {"NUMBA_CACHE_DIR": "nothing-compiled"}, None),
    ):
        began = time.perf_counter()
        with variant(UNCHANGED)(around, name, environment):
            yield Result(f"ablation: start to ready, {name}", time.perf_counter() - began, "s", goal)
