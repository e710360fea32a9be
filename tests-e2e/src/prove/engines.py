"""The data steps on a Spark cluster give the files of the local engine, byte for byte, also if a worker is lost.

A driver without a master, or whose JVM is killed, ends by an error of the engine.

Only the quality step asks the engine, and all later steps read its output. So equal files mean an equal model.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil
import pyarrow as pa

from bench.results import Goal, Result
from localservers.waiting import wait_until
from pipeline.artifacts import FileList
from pipeline.demo import DemoSize, generate
from pipeline.demo.extracted import extracted_tables, write_extracted
from prove.spark_cluster import PYTHON, SparkCluster, running_cluster

_AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SIZE = DemoSize(datasets=2_000, users=5_000, interactions=300_000)
_REPEATED = 1_000
_SECONDS = 900
_CLEAN = """
import sys
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from pipeline.quality import clean
from pipeline.relational import open_engine
extracted, folder, as_of, *url = sys.argv[1:]
with open_engine(url[0] if url else None, Path(folder)) as engine:
    clean(Path(extracted), Path(folder), datetime.fromisoformat(as_of), engine=engine)
"""


class _Outcome(NamedTuple):
    differing: int
    is_killed: bool


def prove(folder: Path, seed: int) -> list[Result]:
    """Return the numbers of files that differ; needs Java 17 and `.venvs/spark`, which `make prove` prepares."""
    extracted = folder / "extract"
    extracted.mkdir()
    tables = extracted_tables(generate(_SIZE, seed % 2**31, _AS_OF))
    rows = tables["interactions"]
    write_extracted(tables | {"interactions": pa.concat_tables([rows, rows.slice(0, _REPEATED)])}, extracted)
    local = folder / "local"
    local.mkdir()
    subprocess.run([sys.executable, *_command(extracted, local)], check=True, timeout=_SECONDS)
    expected = FileList.of(local)
    with running_cluster(folder / "cluster") as cluster:
        # A folder of such a name is not a pattern.
        undisturbed = _clean_on(cluster, extracted, folder / "undisturbed[1]", expected, is_disturbed=False)
        disturbed = _clean_on(cluster, extracted, folder / "disturbed", expected, is_disturbed=True)
        errors = int(_ends_by_engine_error(cluster, extracted, folder / "killed-jvm", kills_jvm=True))
    errors += _ends_by_engine_error(cluster, extracted, folder / "no-master", kills_jvm=False)
    return [
        Result("engines: files compared", len(expected.files), "files", Goal(least=9)),
        Result("engines: files of the cluster that differ", undisturbed.differing, "files", Goal(most=0)),
        Result("engines: workers killed in the middle of a query", int(disturbed.is_killed), "workers", Goal(least=1)),
        Result("engines: files that differ after it", disturbed.differing, "files", Goal(most=0)),
        Result("engines: faults of the driver with an error that says so", errors, "of 2", Goal(least=2)),
    ]


def _clean_on(
    cluster: SparkCluster, extracted: Path, folder: Path, expected: FileList, *, is_disturbed: bool
) -> _Outcome:
    """Clean on the cluster, and kill a worker while it sorts all interactions."""
    folder.mkdir()
    is_killed = False
    with subprocess.Popen([str(PYTHON), *_command(extracted, folder), cluster.url], env=cluster.environment) as process:
        try:
            if is_disturbed:
                is_killed = _kill_while_sorting(cluster, folder, process)
            code = process.wait(_SECONDS)
        finally:
            process.kill()
    if code:
        raise RuntimeError(f"the step on the cluster ended with {code}")
    found = FileList.of(folder).files
    names = found.keys() | expected.files.keys()
    return _Outcome(sum(found.get(name) != expected.files.get(name) for name in names), is_killed)


def _ends_by_engine_error(cluster: SparkCluster, extracted: Path, folder: Path, *, kills_jvm: bool) -> bool:
    """Clean without a master, or kill the driver's JVM in the sort; return whether it ends by an `EngineError`."""
    folder.mkdir()
    log = folder / "driver.log"
    command = [str(PYTHON), *_command(extracted, folder), cluster.url]
    with log.open("wb") as output, subprocess.Popen(command, env=cluster.environment, stderr=output) as process:
        try:
            if kills_jvm:
                _wait((folder / "user_ids.npy").exists, process)
                for each in psutil.Process(process.pid).children(recursive=True):
                    each.kill()
            process.wait(_SECONDS)
        finally:
            process.kill()
    return "\npipeline.errors.EngineError: Spark: " in log.read_text(encoding="utf-8").rpartition("Traceback")[2]


def _kill_while_sorting(cluster: SparkCluster, folder: Path, process: subprocess.Popen[bytes]) -> bool:
    """Kill the worker that first has rows which the query still needs; return whether the query was running then."""
    # After these, one query is left: the sort.
    _wait((folder / "user_ids.npy").exists, process)
    began = time.time()
    _wait(lambda: any(worker.has_rows(began) for worker in cluster.workers), process)
    next(worker for worker in cluster.workers if worker.has_rows(began)).kill()
    return process.poll() is None and not any(folder.glob(".engine-*/found/_SUCCESS"))


def _wait(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: condition() or process.poll() is not None, within=_SECONDS, what="the sort", every=0.01)
    if process.returncode is not None:
        raise RuntimeError(f"the step on the cluster ended with {process.returncode} before its sort")


def _command(extracted: Path, folder: Path) -> list[str]:
    return ["-c", _CLEAN, str(extracted), str(folder), _AS_OF.isoformat()]
