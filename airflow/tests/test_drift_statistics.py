"""Significance and effect from profiles are those of the samples, by scipy's own tests."""

import numpy as np
import pytest
from scipy import stats

from pipeline.quality.statistics import compare_counts, compare_percentiles, compare_shares

RNG_SEED = 5


def percentiles(values: np.ndarray) -> list[float]:
    found: list[float] = np.percentile(values, np.linspace(0, 100, 101), method="nearest").tolist()
    return found


def test_counts_are_compared_as_by_the_chi_squared_test() -> None:
    before, now = [900, 80, 20], [950, 30, 40]
    expected = stats.chi2_contingency(np.array([before, now]), correction=False)
    assert compare_counts(before, now).p_value == pytest.approx(expected.pvalue)


def test_equal_counts_are_no_difference_and_a_vanished_kind_is_a_large_one() -> None:
    assert compare_counts([10, 20], [100, 200]) == pytest.approx((0.0, 1.0))
    assert compare_counts([900, 100], [1000, 0]).effect > 0.25
    assert compare_counts([0, 0], [5, 5]) == (0.0, 1.0)


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_percentiles_are_compared_nearly_as_by_the_kolmogorov_smirnov_test(shift: float) -> None:
    rng = np.random.default_rng(RNG_SEED)
    before, now = rng.normal(0, 1, 2_000), rng.normal(shift, 1, 2_000)
    found = compare_percentiles(percentiles(before), percentiles(now), (2_000, 2_000))
    expected = stats.ks_2samp(before, now)
    assert (found.p_value < 0.001) == (expected.pvalue < 0.001)
    assert (found.effect > 0.25) == (shift == 2.0)


def test_a_column_of_one_price_that_changes_is_a_large_difference() -> None:
    assert compare_percentiles([5.0] * 101, [500.0] * 101, (300, 300)).effect > 2
    assert compare_percentiles([5.0] * 101, [5.0] * 101, (300, 300)).effect == pytest.approx(0.0)


def test_shares_are_compared_one_sided() -> None:
    up, down = compare_shares(0.1, 0.2, (500, 500)), compare_shares(0.2, 0.1, (500, 500))
    assert up.effect == pytest.approx(0.1)
    assert up.p_value < 0.001 < 0.999 < down.p_value
    assert compare_shares(0.0, 0.0, (10, 10)) == (0.0, 0.5)
