"""Reads what answers have shown, and what came of it, from the event log of feature-sync."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from business import BusinessDatabase, Statement
from pipeline.extract.events import SCHEMA

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


class Period(NamedTuple):
    """The exposures that are read: the newest `most` of those since a moment and before another one."""

    since: datetime
    until: datetime
    most: int


def read_exposures(log: BusinessDatabase, period: Period) -> pa.Table:
    """Return the drawn answers and those with an outcome, `EXPOSURES` in ascending time; none without the tables.

    A grade is that of the strongest outcome before the end of the period, 0 without one.
    """
    schema = None if log.dialect == "sqlite" else SCHEMA
    if not {"exposures", "outcomes"} <= log.relations(schema):
        return EXPOSURES.empty_table()
    grades = _read_grades(log, period)
    rows = [_row(found, grades) for found in _select(log, _exposures_sql(log.dialect, period), "exposures")]
    return pa.Table.from_pylist(rows[::-1], EXPOSURES)


def _read_grades(log: BusinessDatabase, period: Period) -> dict[str, dict[int, int]]:
    within = _within(log.dialect, period)
    sql = f"SELECT exposure_id, position, type FROM {_table(log.dialect, 'outcomes')} WHERE {within}"  # noqa: S608 - our own words
    grades: dict[str, dict[int, int]] = defaultdict(dict)
    for exposure_id, position, kind in _select(log, sql, "outcomes"):
        of_answer = grades[exposure_id]
        of_answer[position] = max(of_answer.get(position, 0), GRADES.get(kind, 0))
    return grades


def _exposures_sql(dialect: str, period: Period) -> str:
    if dialect == "sqlite":
        at, as_json = "CAST(strftime('%s', ts) AS INTEGER)", "{}"
    else:
        at, as_json = "CAST(EXTRACT(EPOCH FROM ts) AS BIGINT)", "CAST(array_to_json({}) AS TEXT)"
    lists = ", ".join(as_json.format(name) for name in ("dataset_ids", "scores"))
    within = _within(dialect, period)
    with_outcome = f"SELECT exposure_id FROM {_table(dialect, 'outcomes')} WHERE {within}"  # noqa: S608 - our own words
    return (
        f"SELECT exposure_id, {at} AS at, user_id, {lists}, propensity IS NOT NULL AS is_drawn "  # noqa: S608 - our own words
        f"FROM {_table(dialect, 'exposures')} WHERE {within} AND user_id IS NOT NULL AND endpoint = '{_ENDPOINT}' "
        f"AND fallback_level = 0 AND (propensity IS NOT NULL OR exposure_id IN ({with_outcome})) "
        f"ORDER BY ts DESC, exposure_id LIMIT {period.most}"
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


def _select(log: BusinessDatabase, sql: str, name: str) -> Iterator[Sequence[Any]]:
    for batch in log.rows(Statement(sql, f"table {name}")):
        yield from batch


def _table(dialect: str, name: str) -> str:
    return name if dialect == "sqlite" else f"{SCHEMA}.{name}"


def _within(dialect: str, period: Period) -> str:
    # SQLite stores text in UTC, without a zone.
    form = "'{:%Y-%m-%d %H:%M:%S.%f}'" if dialect == "sqlite" else "TIMESTAMPTZ '{:%Y-%m-%d %H:%M:%S.%f}+00'"
    since, until = (form.format(moment.astimezone(UTC)) for moment in (period.since, period.until))
    return f"ts >= {since} AND ts < {until}"
