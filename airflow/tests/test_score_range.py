"""Scores of votes are put where the logistic and diversification can tell the best candidates of a query apart."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.features import FEATURES
from pipeline.train.lambdamart import TrainSettings, trained_columns
from pipeline.train.score_range import put_into_range, range_of
from pipeline.train.simple_orders import SIMPLE_ORDERS, trees_of
from ranking.ranker import Ranker

VOTES = SIMPLE_ORDERS[-1]


@pytest.fixture(scope="module")
def queries() -> list[NDArray[np.float32]]:
    """Candidates whose votes are heavy-tailed, and far higher in every tenth query."""
    rng = np.random.default_rng(3)
    found = rng.pareto(1.5, (100, 200, len(FEATURES))).astype(np.float32)
    found[::10] *= 50
    return list(found)


def heads(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the best and the tenth score of each query."""
    return np.sort(scores.reshape(100, 200))[:, [-1, -10]]


def test_the_best_of_the_median_query_and_its_tenth_are_in_range(queries: list[NDArray[np.float32]]) -> None:
    trained = [trained_columns(query) for query in queries]
    text = trees_of(VOTES, np.concatenate(trained), TrainSettings())
    everything = np.concatenate(queries)
    before, after = Ranker(text).scores(everything), Ranker(put_into_range(text, trained)).scores(everything)
    np.testing.assert_array_equal(np.argsort(after, kind="stable"), np.argsort(before, kind="stable"))
    found = heads(after)
    assert np.median(found[:, 0]) == pytest.approx(2.0)
    assert np.median(found[:, 0] - found[:, 1]) == pytest.approx(1.7)


@pytest.mark.parametrize(
    "queries", [[np.ones(3)], [np.ones(30)] * 4, [np.array([0.5]), np.array([7.0, 1.0])]], ids=["few", "equal", "short"]
)
def test_without_ten_different_candidates_scores_are_only_moved(queries: list[NDArray[np.float64]]) -> None:
    found = range_of(queries)
    assert found.scale == 1.0
    assert np.median([scores.max() for scores in queries]) + found.shift == pytest.approx(2.0)
