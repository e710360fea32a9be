"""Runs the worker that evaluates the declared columns, within limits of time and memory."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from threading import Event, Timer
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.columns.values import ColumnValues
from pipeline.columns.worker import SECONDS_TO_START
from pipeline.extract.columns import SCHEMAS
from ranking.own_columns import OwnColumn, OwnColumns

SECONDS_PER_COLUMN = 60.0
_EMPTY = np.empty(0, np.int64)
_NO_MOMENT = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


class ColumnError(ValueError):
    """A declared column can't be computed; `half` and `place` say which one it is."""

    def __init__(self, half: str, place: int, message: str) -> None:
        super().__init__(message)
        self.half, self.place = half, place


class Ids(NamedTuple):
    """Whose values are wanted: ascending ids int64 of datasets [n] and of users [u]."""

    datasets: NDArray[np.int64]
    users: NDArray[np.int64]


class _Declared(NamedTuple):
    half: str
    place: int
    column: OwnColumn


def evaluate_columns(
    own: OwnColumns, clean: Path, ids: Ids, as_of: datetime, *, seconds: float = SECONDS_PER_COLUMN
) -> dict[str, list[ColumnValues]]:
    """Return the values of each column by half (`datasets`, `users`); raises `ColumnError`.

    `clean` has the three tables as Parquet. No expression may take more than `seconds`.
    """
    declared = [
        _Declared(half, place, column)
        for half in ("datasets", "users")
        for place, column in enumerate(getattr(own, half))
    ]
    found: dict[str, list[ColumnValues]] = {"datasets": [], "users": []}
    if not declared:
        return found
    with tempfile.TemporaryDirectory(prefix="pipeline-columns-") as temporary:
        out = Path(temporary)
        for half, wanted in ids._asdict().items():
            pq.write_table(pa.table({"id": wanted}), out / f"ids_{half}.parquet")
        task: dict[str, object] = {
            "clean": str(clean),
            "out": str(out),
            "as_of": as_of.isoformat(),
            "seconds": seconds,
            "columns": [{"table": half, "sql": column.sql, "type": column.type} for half, _, column in declared],
        }
        _run_worker(declared, task, seconds)
        for number, (half, _, _) in enumerate(declared):
            table = pq.read_table(out / f"{number}.parquet")
            found[half].append(ColumnValues.of(table, getattr(ids, half)))
    return found


def check_columns(own: OwnColumns) -> None:
    """Evaluate the columns over empty tables, which finds what no data can mend; raises `ColumnError`."""
    if not own.datasets and not own.users:
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-columns-") as temporary:
        for name, schema in SCHEMAS.items():
            pq.write_table(schema.empty_table(), Path(temporary, f"{name}.parquet"))
        evaluate_columns(own, Path(temporary), Ids(_EMPTY, _EMPTY), _NO_MOMENT)


def _run_worker(declared: Sequence[_Declared], task: dict[str, object], seconds: float) -> None:
    command = [sys.executable, "-m", "pipeline.columns.worker"]
    # Without the environment: it has secrets, and the SQL has no need of them.
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PYTHONUTF8": "1"}
    ) as worker:
        assert worker.stdin is not None and worker.stdout is not None and worker.stderr is not None  # noqa: S101, PT018 - pipes
        worker.stdin.write(json.dumps(task).encode())
        worker.stdin.close()
        try:
            limits = [SECONDS_TO_START, *[seconds] * len(declared)]
            for limit, (half, place, _) in zip(limits, [declared[0], *declared], strict=True):
                error = _next_outcome(worker, worker.stdout, worker.stderr, limit)
                if error is not None:
                    raise ColumnError(half, place, error)
        finally:
            worker.kill()


def _next_outcome(worker: subprocess.Popen[bytes], lines: IO[bytes], errors: IO[bytes], seconds: float) -> str | None:
    """Return the error of what the worker does next, None if it is done."""
    is_late = Event()

    def stop() -> None:
        is_late.set()
        worker.kill()

    timer = Timer(seconds, stop)
    timer.start()
    try:
        line = lines.readline()
    finally:
        timer.cancel()
    if line:
        error: str | None = json.loads(line).get("error")
        return error
    if is_late.is_set():
        return f"not done within {seconds:g} seconds: write a cheaper expression"
    reason = errors.read().decode(errors="replace").strip().splitlines()[-1:]
    return f"the process that evaluates it has ended ({' '.join(reason) or 'without a message'}): it needs less memory"
