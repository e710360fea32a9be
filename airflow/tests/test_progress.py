"""Progress lines: rows, share and time left, every ten seconds at most."""

import logging

import pytest

from pipeline.progress import Progress


def lines(caplog: pytest.LogCaptureFixture, total: int | None, steps: list[tuple[float, int]]) -> list[str]:
    times = iter([0.0, *(second for second, _ in steps)])
    progress = Progress("users", total, lambda: next(times))
    with caplog.at_level(logging.INFO):
        for _, rows in steps:
            progress.advance(rows)
    return [record.getMessage() for record in caplog.records]


def test_the_time_left_is_that_of_the_remaining_rows_at_the_same_speed(caplog: pytest.LogCaptureFixture) -> None:
    steps = [(5.0, 100), (10.0, 100), (12.0, 100), (20.0, 100), (40.0, 49_600), (50.0, 50_000)]
    assert lines(caplog, 100_000, steps) == [
        "users: 200 of 100,000 (0 %), 83 min left",
        "users: 400 of 100,000 (0 %), 83 min left",
        "users: 50,000 of 100,000 (50 %), 40 s left",
        "users: 100,000 of 100,000 (100 %), 0 s left",
    ]


def test_without_a_known_number_the_speed_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, None, [(10.0, 50_000)]) == ["users: 50,000 rows, 5,000 a second"]


def test_a_quick_step_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, 100, [(9.0, 100)]) == []
