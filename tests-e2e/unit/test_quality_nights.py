"""Nights of a sound marketplace have hardly a finding of the data checks."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from prove.quality_nights import Nights, results, simulate


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Without monitoring, each report would be logged."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def test_a_week_of_sound_nights_has_no_warning_and_every_check_is_judged(tmp_path: Path) -> None:
    found = Nights()
    simulate(tmp_path, seed=5, nights=7, found=found)
    assert [each.name for each in results(found) if not each.ok] == []
    assert (found.nights, found.by_check.total()) == (7, 0)
    assert {"interactions.missing_days", "drift.price", "datasets.outlier_price"} <= found.checks


def test_a_night_with_a_warning_misses_the_goal() -> None:
    assert not all(each.ok for each in results(Nights(nights=10, with_warning=1)))
    assert not all(each.ok for each in results(Nights(nights=1000, with_critical=1)))
