"""The rows and values that a run left out, with the reason and the advice: `clean/quarantine.parquet`."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.quality.checks import Check

QUARANTINE = "quarantine.parquet"
# A check that rejects a whole table of 10 million rows must not write it a second time. `report.json` has the counts.
MAX_ROWS_PER_CHECK = 10_000
_SCHEMA = pa.schema([(name, pa.string()) for name in ("table", "check", "left_out", "reason", "advice", "row")])


class QuarantinedRow(NamedTuple):
    """One entry. `left_out` is `row`, or the column whose value is empty in the row that stays; `row` as extracted."""

    table: str
    check: str
    left_out: str
    reason: str
    advice: str
    row: Mapping[str, Any]


class Quarantine:
    """Collects what the checks of one run reject."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []

    def add_rows(self, table: str, check: Check, rows: pa.Table, advice: str) -> None:
        """Add rows that a check rejects, as they were extracted; of many only the first ones."""
        kept = rows.slice(0, MAX_ROWS_PER_CHECK).to_pylist()
        left_out = check.column or "" if check.only_value else "row"
        constant = (table, check.name, left_out, f"{table} {check.what}", advice)
        columns = [pa.repeat(text, len(kept)) for text in constant]
        columns.append(pa.array([_to_json(row) for row in kept], pa.string()))
        self._batches.append(pa.record_batch(columns, schema=_SCHEMA))

    def write(self, folder: Path) -> None:
        """Write all entries below `folder`, in the order of the checks; also if there are none."""
        pq.write_table(pa.Table.from_batches(self._batches, _SCHEMA), folder / QUARANTINE)


def read_quarantine(folder: Path) -> list[QuarantinedRow]:
    """Return the entries below `folder`, none if the run is of a release without them."""
    if not (folder / QUARANTINE).is_file():
        return []
    found = pq.read_table(folder / QUARANTINE, schema=_SCHEMA).to_pylist()
    return [QuarantinedRow(**(entry | {"row": json.loads(entry["row"])})) for entry in found]


def _to_json(row: Mapping[str, Any]) -> str:
    return json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    # JSON has no NaN.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
