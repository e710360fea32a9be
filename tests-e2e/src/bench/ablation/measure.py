"""CPU of a ranked and of a cached answer with each piece of machinery, and with the plain way in its place."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import bench
from bench.ablation.variants import AS_SHIPPED, SERVING
from bench.questions import new_questions
from bench.results import Result
from bench.rounds import compare
from bench.servers import Server, Surroundings, recommender, surroundings

PYTHON = ".venvs/ablation/bin/python"
ROUNDS, REQUESTS = 24, 400


def measure(folder: Path) -> list[Result]:
    """Compare all variants in interleaved rounds."""
    questions = new_questions()
    results = []
    with surroundings(folder) as around, ExitStack() as stack:
        servers = {name: stack.enter_context(_variant(around, name)) for name in SERVING}
        for kind, paths in (
            ("ranked", lambda n: list(islice(questions, n))),
            ("cached", lambda n: ["/similar/101?limit=20"] * n),
        ):
            costs = compare(servers, dict.fromkeys(servers, paths), rounds=ROUNDS, requests=REQUESTS)
            shipped = costs[AS_SHIPPED].cpu
            results.append(Result(f"ablation: CPU of a {kind} answer", shipped, "µs"))
            results += [
                Result(f"ablation: {kind}, {name}", (costs[name].cpu / shipped - 1) * 100, "% more")
                for name in SERVING
                if name != AS_SHIPPED
            ]
    return results


@contextmanager
def _variant(around: Surroundings, name: str) -> Iterator[Server]:
    settings = {"PYTHONPATH": str(Path(bench.__file__).parents[1])}
    if name == "Numba's loops":
        # What Numba keeps beside the source was compiled with the steps that this variant replaces.
        settings["NUMBA_CACHE_DIR"] = str(around.folder / "numba")
    command = (PYTHON, "-m", "bench.ablation.server", name)
    with recommender(around, name.replace(" ", "-"), settings, command) as server:
        yield server
