"""Reads what answers have shown, and what came of it, from the event log of feature-sync."""

import json
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
    rows = [_row(found) for found in select_rows(log, _exposures_sql(log.dialect, period, most), "exposures")]
    return pa.Table.from_pylist(rows[::-1], EXPOSURES)


def _exposures_sql(dialect: str, period: Period, most: int) -> str:
    """Return the SELECT of the newest answers that were drawn or had an outcome, newest first, with their outcomes.

    It reads the exposures once, because a month of them has no index on the time. Reading only new days from there, as
    of interactions, saves no more: finding what has changed in the others reads the month again.
    """
    if dialect == "sqlite":
        at, as_json = "CAST(strftime('%s', ts) AS INTEGER)", "{}"
        outcomes = "json_group_array(json_array(position, type))"
    else:
        at, as_json = "CAST(EXTRACT(EPOCH FROM ts) AS BIGINT)", "CAST(array_to_json({}) AS TEXT)"
        outcomes = "CAST(json_agg(json_build_array(position, type)) AS TEXT)"
    dataset_ids, scores = (as_json.format(name) for name in ("dataset_ids", "scores"))
    within = period_condition(dialect, period)
    table = f"{table_name(dialect, 'outcomes')} AS outcome WHERE {within}"
    of_answer = f"SELECT {outcomes} FROM {table} AND outcome.exposure_id = shown.exposure_id"  # noqa: S608 - our own words
    return (
        f"SELECT {at} AS at, user_id, {dataset_ids} AS dataset_ids, {scores} AS scores, "  # noqa: S608 - our own words
        f"propensity IS NOT NULL AS is_drawn, ({of_answer}) AS outcomes "
        f"FROM {table_name(dialect, 'exposures')} AS shown "
        f"WHERE {within} AND user_id IS NOT NULL AND endpoint = '{_ENDPOINT}' "
        f"AND fallback_level = 0 AND (propensity IS NOT NULL OR exposure_id IN (SELECT exposure_id FROM {table})) "
        f"ORDER BY ts DESC, exposure_id LIMIT {most}"
    )


def _row(found: Sequence[Any]) -> dict[str, Any]:
    at, user_id, dataset_ids, scores, is_drawn, outcomes = found
    shown = json.loads(dataset_ids)
    grades: dict[int, int] = {}
    for position, kind in json.loads(outcomes or "[]"):
        grades[position] = max(grades.get(position, 0), GRADES.get(kind, 0))
    return {
        "at": int(at),
        "user_id": user_id,
        "dataset_ids": shown,
        "scores": json.loads(scores),
        "grades": [grades.get(position, 0) for position in range(len(shown))],
        "is_drawn": bool(is_drawn),
    }
