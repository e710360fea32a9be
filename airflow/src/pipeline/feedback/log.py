"""Reads what answers have shown, and what came of it, from the event log of feature-sync."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from business import BusinessDatabase
from pipeline.extract.log_tables import Period, period_condition, relations_of, select_rows, table_name

# Answers to users by the main path about no dataset: the others can't be replayed, because the log doesn't say what
# they were asked.
_ENDPOINT = "/recommend/user"
GRADES = {"click": 1, "favorite": 2, "purchase": 3}
EXPOSURES = pa.schema(
    {
        "at": pa.int64(),
        "user_id": pa.int64(),
        "dataset_ids": pa.list_(pa.int64()),
        "scores": pa.list_(pa.float32()),
        "grades": pa.list_(pa.uint8()),
        "is_drawn": pa.bool_(),
    }
)


def read_exposures(log: BusinessDatabase, period: Period, most: int) -> pa.Table:
    """Return the newest `most` answers that were drawn or had an outcome, `EXPOSURES` in ascending time.

    A grade is that of the strongest outcome before the end of the period, 0 without one. A log without the
    tables has no answers.
    """
    if not {"exposures", "outcomes"} <= relations_of(log):
        return EXPOSURES.empty_table()
    grades = _read_grades(log, period, most)
    exposures = select_rows(log, _exposures_sql(log.dialect, _exposure_columns(log.dialect), period, most), "exposures")
    rows = [_row(found, grades) for found in exposures]
    return pa.Table.from_pylist(rows[::-1], EXPOSURES)


def _read_grades(log: BusinessDatabase, period: Period, most: int) -> dict[str, dict[int, int]]:
    within = period_condition(log.dialect, period)
    chosen = _exposures_sql(log.dialect, "exposure_id", period, most)
    sql = (
        f"SELECT exposure_id, position, type FROM {table_name(log.dialect, 'outcomes')} "  # noqa: S608 - our own words
        f"WHERE {within} AND exposure_id IN (SELECT exposure_id FROM ({chosen}) AS chosen)"
    )
    grades: dict[str, dict[int, int]] = defaultdict(dict)
    for exposure_id, position, kind in select_rows(log, sql, "outcomes"):
        of_answer = grades[exposure_id]
        of_answer[position] = max(of_answer.get(position, 0), GRADES.get(kind, 0))
    return grades


def _exposure_columns(dialect: str) -> str:
    if dialect == "sqlite":
        at, as_json = "CAST(strftime('%s', ts) AS INTEGER)", "{}"
    else:
        at, as_json = "CAST(EXTRACT(EPOCH FROM ts) AS BIGINT)", "CAST(array_to_json({}) AS TEXT)"
    lists = ", ".join(as_json.format(name) for name in ("dataset_ids", "scores"))
    return f"exposure_id, {at} AS at, user_id, {lists}, propensity IS NOT NULL AS is_drawn"


def _exposures_sql(dialect: str, columns: str, period: Period, most: int) -> str:
    """Return the SELECT of the newest answers that were drawn or had an outcome, newest first."""
    within = period_condition(dialect, period)
    with_outcome = f"SELECT exposure_id FROM {table_name(dialect, 'outcomes')} WHERE {within}"  # noqa: S608 - our own words
    return (
        f"SELECT {columns} FROM {table_name(dialect, 'exposures')} "  # noqa: S608 - our own words
        f"WHERE {within} AND user_id IS NOT NULL AND endpoint = '{_ENDPOINT}' "
        f"AND fallback_level = 0 AND (propensity IS NOT NULL OR exposure_id IN ({with_outcome})) "
        f"ORDER BY ts DESC, exposure_id LIMIT {most}"
    )


def _row(found: Sequence[Any], grades: dict[str, dict[int, int]]) -> dict[str, Any]:
    exposure_id, at, user_id, dataset_ids, scores, is_drawn = found
    shown = json.loads(dataset_ids)
    of_answer = grades.get(exposure_id, {})
    return {
        "at": int(at),
        "user_id": user_id,
        "dataset_ids": shown,
        "scores": json.loads(scores),
        "grades": [of_answer.get(position, 0) for position in range(len(shown))],
        "is_drawn": bool(is_drawn),
    }
