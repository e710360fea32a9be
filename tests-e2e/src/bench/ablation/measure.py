"""What an answer costs with each piece of machinery, and with the plain way in its place."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import bench
from bench.ablation.variants import AS_SHIPPED, AVX2, SERVING
from bench.questions import new_questions
from bench.results import Goal, Result
from bench.rounds import Cost, compare
from bench.servers import Server, Surroundings, hello, recommender, surroundings

PYTHON = ".venvs/ablation/bin/python"
ROUNDS, REQUESTS = 24, 400
_HELLO = "hello"
# By kind of answer: what a variant may cost, in hellos.
_GOALS = {("ranked", AS_SHIPPED): 2.0, ("ranked", AVX2): 2.2, ("cached", AS_SHIPPED): 0.7, ("cached", AVX2): 0.7}


def measure(folder: Path) -> list[Result]:
    """Compare all variants in interleaved rounds."""
    questions = new_questions()
    results: list[Result] = []
    with surroundings(folder) as around:
        with ExitStack() as stack:
            servers = {name: stack.enter_context(variant(around, name)) for name in SERVING}
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
    shipped = costs[AS_SHIPPED].cpu
    yield Result(f"ablation: CPU of a {kind} answer", shipped, "µs")
    for (of, name), most in _GOALS.items():
        if of == kind:
            yield Result(f"ablation: {kind} / hello, {name}", costs[name].cpu / costs[_HELLO].cpu, "×", Goal(most=most))
    for name in SERVING:
        if name != AS_SHIPPED:
            yield Result(f"ablation: {kind}, {name}", (costs[name].cpu / shipped - 1) * 100, "% more")


def _starts(around: Surroundings) -> Iterator[Result]:
    """Yield how long a start takes with the loops compiled beforehand, and without."""
    for name, environment, goal in (
        ("loops compiled in the image", {}, Goal(most=10)),
        ("loops compiled at the start", {"NUMBA_CACHE_DIR": str(around.folder / "nothing-compiled")}, None),
    ):
        began = time.perf_counter()
        with variant(around, AS_SHIPPED, environment):
            yield Result(f"ablation: start to ready, {name}", time.perf_counter() - began, "s", goal)


@contextmanager
def variant(around: Surroundings, name: str, environment: Mapping[str, str] = {}) -> Iterator[Server]:
    """Run one of the variants."""
    settings = {
        "PYTHONPATH": str(Path(bench.__file__).parents[1]),
        # As the service sets it, which is too late where a variant has imported numpy.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **SERVING[name].environment,
        **environment,
    }
    if settings.get("NUMBA_CACHE_DIR"):
        settings["NUMBA_CACHE_DIR"] = str(around.folder / settings["NUMBA_CACHE_DIR"])
    command = (PYTHON, "-m", "bench.ablation.server", name)
    with recommender(around, name.replace(" ", "-"), settings, command) as server:
        yield server
