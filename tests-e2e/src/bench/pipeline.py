"""The steps of a training on the generated marketplace: CPU seconds, and the memory of all processes of a step.

Each step is a process of its own, as Airflow runs it. The data is in PostgreSQL, whose CPU seconds are given beside
those of the steps; 100 million interactions are in Parquet files, which DuckDB reads. A fixed piece of work between the
steps says how fast the machine is meanwhile.
"""

import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench.results import Goal, Result
from pipeline.demo import DemoSize
from pipeline.steps import steps
from testkit.fixed_work import fixed_work
from testkit.postgres import running_server

_AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SAMPLE_SECONDS = 0.25
_RUN = "bench"
# Times that the fixed work is done after each step.
_FIXED_WORK = 5


@dataclass(frozen=True)
class _Scale:
    """A size of the marketplace, and the goals of a whole training (s and GB)."""

    size: DemoSize
    cpu: Goal | None = None
    memory: Goal | None = None

    @property
    def name(self) -> str:
        return f"{self.size.interactions / 1e6:g} M, {self.size.datasets:,} datasets"


_SCALES = {
    1: _Scale(DemoSize(datasets=5_000, users=50_000, interactions=1_000_000), Goal(most=170), Goal(most=3)),
    10: _Scale(DemoSize(datasets=20_000, users=200_000, interactions=10_000_000), Goal(most=900), Goal(most=6)),
    30: _Scale(DemoSize(datasets=40_000, users=400_000, interactions=30_000_000), Goal(most=1_500), Goal(most=8)),
}
_HUNDRED = _Scale(DemoSize(datasets=100_000, users=1_000_000, interactions=100_000_000), memory=Goal(most=12))
_MOST_EXPONENT = 1.05
# Numbers of datasets; not all of the second and third fit into a dense matrix.
_CATALOGUES = (12_000, 30_000, 100_000)


def measure(folder: Path) -> list[Result]:
    """Measure a training on a million interactions, step by step."""
    return _measure_scale(_SCALES[1], folder)


def measure_growth(folder: Path) -> list[Result]:
    """Measure trainings on 1, 10 and 30 million, and how the CPU seconds grow: 1 is in proportion."""
    results: list[Result] = []
    totals: dict[int, float] = {}
    for millions, scale in _SCALES.items():
        with tempfile.TemporaryDirectory(dir=folder) as own:
            measured = _measure_scale(scale, Path(own))
        totals[millions] = measured[-2].value
        results += measured
    exponent = math.log(totals[30] / totals[1]) / math.log(30)
    return [*results, Result("pipeline: exponent of growth, 1 M to 30 M", exponent, "", Goal(most=_MOST_EXPONENT))]


def measure_hundred_million(folder: Path) -> list[Result]:
    """Measure a training on 100 million interactions in Parquet files."""
    return _measure_steps(_HUNDRED, folder, f"duckdb:///{folder / 'business.db'}")


def measure_catalogues(folder: Path) -> list[Result]:
    """Measure trainings on a million interactions with more and more datasets."""
    results: list[Result] = []
    for datasets in _CATALOGUES:
        size = DemoSize(datasets=datasets, users=50_000, interactions=1_000_000)
        with tempfile.TemporaryDirectory(dir=folder) as own:
            results += _measure_scale(_Scale(size), Path(own))
    return results


def _measure_scale(scale: _Scale, folder: Path) -> list[Result]:
    with running_server() as server:
        server.cluster.ensure_database("business")
        results = _measure_steps(scale, folder, server.cluster.url("business"))
        seconds = server.cpu_seconds()
    return [Result(f"pipeline: {scale.name}, with loading, CPU of PostgreSQL", seconds, "s"), *results]


def _measure_steps(scale: _Scale, folder: Path, url: str) -> list[Result]:
    known = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_TOKEN", "_DSN"))}
    own = {"BUSINESS_DATABASE_URL": url, "ARTIFACT_URL": str(folder / "artifacts")}
    size = [str(each) for each in (scale.size.datasets, scale.size.users, scale.size.interactions, scale.size.days)]
    command = [sys.executable, "-m", "bench.marketplace", _RUN, _AS_OF.isoformat(), *size]
    subprocess.run(command, env=known | own, check=True)
    results: list[Result] = []
    total, highest = 0.0, 0.0
    pace: list[float] = []
    for step in steps(publish=False):
        seconds, gigabytes = _observe(
            [sys.executable, "-m", "pipeline", "step", step.name, "--run-id", _RUN], known | own
        )
        total, highest = total + seconds, max(highest, gigabytes)
        pace += [fixed_work() for _ in range(_FIXED_WORK)]
        results += [
            Result(f"pipeline: {scale.name}, {step.name}, CPU", seconds, "s"),
            Result(f"pipeline: {scale.name}, {step.name}, memory", gigabytes, "GB"),
        ]
    return [
        *results,
        Result(f"pipeline: {scale.name}, CPU of fixed work", statistics.median(pace) * 1000, "ms"),
        Result(f"pipeline: {scale.name}, CPU of all steps", total, "s", scale.cpu),
        Result(f"pipeline: {scale.name}, most memory", highest, "GB", scale.memory),
    ]


def _observe(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Run it; return the CPU seconds of its processes, and the most memory that they had at once (GB)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        highest = 0.0
        while process.poll() is None:
            highest = max(highest, _memory(process.pid))
            time.sleep(_SAMPLE_SECONDS)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, highest / 1e9


def _memory(pid: int) -> float:
    """Return the bytes of a process and its children, in which shared pages count once."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for each in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                total += each.memory_full_info().pss
    return total
