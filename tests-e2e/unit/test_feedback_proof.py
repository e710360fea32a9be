"""Exposures teach a ranker what users want in spite of a biased order, and measure what another order brings."""

from pathlib import Path

from pipeline.train import TrainSettings
from prove.feedback import LEAST_GAIN, MOST_CURVE_ERROR, compare_rankers, curve_error, interval_holds
from prove.shown_marketplace import Size, simulate


def test_a_ranker_that_knows_what_was_shown_finds_true_preferences_better(tmp_path: Path) -> None:
    market = simulate(tmp_path, Size(datasets=200, users=200, answers=3_000, drawn=0.3), seed=1)
    found = compare_rankers(market, seed=1, training=TrainSettings(queries=600, trees=30, seed=1))
    assert found.with_exposures > found.without * (1 + LEAST_GAIN)
    assert found.off_policy["is_identifiable"]
    new_order = found.off_policy["new_order"]
    assert new_order["low"] <= found.brought <= new_order["high"]


def test_answers_in_random_order_show_how_much_each_place_is_examined() -> None:
    assert curve_error(answers=40_000, seed=3) < MOST_CURVE_ERROR


def test_nine_of_ten_intervals_hold_the_true_value_of_an_order() -> None:
    assert sum(interval_holds(answers=1_000, seed=seed) for seed in range(40)) >= 36
