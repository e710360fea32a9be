"""A run of the DAG for an earlier day is distinguished from the nightly one, because it must not deploy."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from airflow_monitoring.rebuilds import is_rebuild

NOW = datetime(2026, 3, 5, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("run_type", "age", "expected"),
    [
        ("scheduled", timedelta(seconds=2), False),
        # After an outage: still the newest run.
        ("scheduled", timedelta(hours=23), False),
        # Cleared days later.
        ("scheduled", timedelta(days=3), True),
        ("manual", timedelta(seconds=2), False),
        ("manual", timedelta(days=3), True),
        ("manual", None, False),
        ("manual", timedelta(days=-1), False),
        ("backfill", timedelta(seconds=2), True),
        ("backfill", None, True),
    ],
)
@pytest.mark.parametrize("as_enumeration", [True, False])
def test_a_backfill_and_a_date_more_than_a_day_ago_are_rebuilds(
    run_type: str, age: timedelta | None, expected: bool, as_enumeration: bool
) -> None:
    named = SimpleNamespace(value=run_type) if as_enumeration else run_type
    dag_run = SimpleNamespace(run_type=named, logical_date=None if age is None else NOW - age)
    assert is_rebuild(dag_run, NOW) is expected
