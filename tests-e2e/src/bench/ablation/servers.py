"""Runs the recommender with one piece of its machinery replaced."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import bench
from bench.ablation.variants import VARIANTS
from bench.servers import Server, StartRecommender, Surroundings, recommender

PYTHON = ".venvs/ablation/bin/python"


def variant(name: str) -> StartRecommender:
    """Return what starts a variant."""

    @contextmanager
    def start(around: Surroundings, folder: str, settings: Mapping[str, str]) -> Iterator[Server]:
        environment = {
            "PYTHONPATH": str(Path(bench.__file__).parents[1]),
            # As the service sets it, which is too late where a variant has imported numpy.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **VARIANTS[name].environment,
            **settings,
        }
        if "NUMBA_CACHE_DIR" in environment:
            environment["NUMBA_CACHE_DIR"] = str(around.folder / environment["NUMBA_CACHE_DIR"])
        command = (PYTHON, "-m", "bench.ablation.server", name)
        with recommender(around, folder.replace(" ", "-"), environment, command) as server:
            yield server

    return start
