"""Served features and scores against those of the version's own queries, and what a run's report shows of both."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from contracts.bundle import ValueBins
from contracts.served_features import ServedVectors
from monitoring.testing import captured
from pipeline.bundle.quantiles import SCORES, bins_of
from pipeline.run_report import gather
from pipeline.skew import SkewResult, signal, write_result
from pipeline.skew.comparison import Verdict
from pipeline.skew.drift import MIN_ANSWERS, ServedDrift

NOW = datetime(2026, 11, 30, 3, tzinfo=UTC)
NOTHING = np.empty(0, np.int32)


def _drift(answers: int, shift: float) -> dict[str, float]:
    rng = np.random.default_rng(7)
    expected = {
        "price": bins_of(rng.normal(size=5000).astype(np.float32)),
        # Most values are equal, as those of many features.
        "votes": bins_of(np.where(rng.random(5000) < 0.9, 0, rng.random(5000)).astype(np.float32)),
        SCORES: bins_of(rng.random(5000).astype(np.float32)),
    }
    drift = ServedDrift(expected, ["price", "votes", "unknown"])
    for _ in range(answers):
        columns = [rng.normal(size=40), np.where(rng.random(40) < 0.9, 0, rng.random(40)), rng.random(40)]
        scores = np.clip(rng.random(10) + shift, 0, 1).astype(np.float32)
        matrix = np.column_stack(columns).astype(np.float32)
        drift.add(ServedVectors(NOTHING, matrix, NOTHING, scores, NOTHING, b""))
    return drift.stability_indexes()


def test_a_shift_of_the_scores_shows_and_equal_distributions_do_not() -> None:
    same, moved = _drift(MIN_ANSWERS, 0.0), _drift(MIN_ANSWERS, 0.3)
    assert set(same) == {"price", "votes", SCORES}
    assert max(same.values()) < 0.1
    assert moved[SCORES] > 0.25
    assert _drift(MIN_ANSWERS - 1, 0.3) == {}, "so few answers say nothing"


def test_equal_deciles_are_one_edge_and_a_constant_has_two_bins() -> None:
    bins = bins_of(np.zeros(100, np.float32))
    assert (bins.edges, bins.shares) == ((0.0,), (1.0, 0.0))
    assert ValueBins.model_validate_json(bins.model_dump_json()) == bins


def _result(psi: float) -> SkewResult:
    drift = {"12": {SCORES: psi, "item_age_days": 0.4, "channel_count": 0.1}}
    verdicts = {Verdict.EQUAL: 97, Verdict.LATE_EVENT: 3, Verdict.UNVERIFIABLE: 2}
    return SkewResult(since=NOW, until=NOW, verdicts=verdicts, drift=drift)


def test_the_report_of_the_run_has_a_row_for_each(tmp_path: Path) -> None:
    run = str(tmp_path / "runs" / "r1")
    write_result(run, _result(0.3))
    skew, drift = gather(run).checks
    assert (skew.check, skew.severity, skew.value, skew.threshold) == ("served_features.skew", "ok", 0.03, 0.05)
    text = "3 of 100 sampled answers differ from what training computes (3 late_event); 2 can't be compared"
    assert skew.details == text
    assert (drift.check, drift.severity, drift.value) == ("served_scores.drift", "warning", 0.3)
    assert drift.details == "version 12: PSI of the scores 0.30; of features item_age_days 0.40, channel_count 0.10"


def test_drift_of_the_scores_is_a_finding_about_data_and_ends_with_a_night_below_the_bound() -> None:
    with captured() as seen:
        signal(_result(0.3))
    assert [(each.point_id, each.tags["check_name"]) for each in seen] == [
        ("pipeline.data_quality", "served_scores.drift")
    ]
    with captured() as seen:
        signal(_result(0.1))
    assert (seen.point_ids, len(seen.recovered)) == ([], 2)
