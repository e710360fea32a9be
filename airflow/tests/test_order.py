"""Never worse than simple: a bundle ranks by the trained ranker only if that is better than the best simple order."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.features import FEATURES
from pipeline.evaluate import LEAVE_LAST_OUT, Evaluation, evaluate
from pipeline.features.items import item_state
from pipeline.recall import build_tables, content_neighbours
from pipeline.records import Records
from pipeline.train import TrainingError, TrainingPart, TrainSettings, train_on, training_queries
from pipeline.train.lambdamart import TRAINED_NAMES, trained_columns
from pipeline.train.order import RANKER, Order
from pipeline.train.simple_orders import SIMPLE_ORDERS, scores_by_all, trees_of
from ranking.diversity import DiversitySettings
from ranking.ranker import Ranker
from ranking.recall import RecallSettings
from ranking.replay import Knowledge

SMALL = TrainSettings(queries=400, trees=10, leaves=15)
RECALL = RecallSettings()


def order_of(records: Records, settings: TrainSettings = SMALL) -> Order:
    """Train and choose as the pipeline does."""
    items = item_state(records, 42).table
    knowledge = Knowledge(build_tables(records, content_neighbours(items.content), 42), RECALL, items)
    return train_on(records, [TrainingPart(past, knowledge) for past in training_queries(records, settings)], settings)


def evaluated(records: Records) -> Evaluation:
    return evaluate(records, item_state(records, 42).table, RECALL, DiversitySettings(), SMALL)


def permuted(records: Records) -> Records:
    """Give the interactions one another's times."""
    shuffled = np.random.default_rng(0).permutation(len(records))
    return at_times(records, records.ts[shuffled])


def at_times(records: Records, ts: NDArray[np.int64]) -> Records:
    order = np.lexsort((records.item, records.user, ts))
    moved = {name: getattr(records, name)[order] for name in ("user", "item", "types")}
    return replace(records, ts=ts[order], **moved)


def first(records: Records, *, users: int, datasets: int) -> Records:
    """Return the interactions of the first users with the most popular datasets."""
    popular = np.sort(np.argsort(-np.bincount(records.item))[:datasets]).astype(np.int64)
    active = np.argsort(-np.bincount(records.user))[:users]
    return records.only(np.isin(records.user, active)).with_datasets(popular)


@pytest.fixture(scope="module")
def matrix() -> NDArray[np.float32]:
    """Candidates with every feature at random."""
    return np.random.default_rng(1).gamma(1.0, 1.0, (4000, len(FEATURES))).astype(np.float32)


@pytest.mark.parametrize("order", [SIMPLE_ORDERS[1], SIMPLE_ORDERS[7], SIMPLE_ORDERS[-1]], ids=lambda order: order.name)
def test_the_trees_of_a_simple_order_rank_as_it_does(order: object, matrix: NDArray[np.float32]) -> None:
    assert isinstance(order, type(SIMPLE_ORDERS[0]))
    ranker = Ranker(trees_of(order, trained_columns(matrix), TrainSettings()))
    assert ranker.method == "bit masks"
    exact = order.scores(matrix)
    found = ranker.scores(matrix)
    # 20 queries of 200 candidates: nearly all of the best ten are the same.
    same = [
        len({*np.argsort(-exact[start : start + 200])[:10]} & {*np.argsort(-found[start : start + 200])[:10]})
        for start in range(0, 4000, 200)
    ]
    assert np.mean(same) > 9


def test_the_scores_by_all_orders_are_those_of_each(matrix: NDArray[np.float32]) -> None:
    together = scores_by_all(matrix)
    assert together.shape == (len(matrix), len(SIMPLE_ORDERS))
    for column, order in enumerate(SIMPLE_ORDERS):
        np.testing.assert_allclose(together[:, column], order.scores(matrix), rtol=1e-12)


def test_other_features_do_not_change_a_simple_order(matrix: NDArray[np.float32]) -> None:
    order = SIMPLE_ORDERS[7]
    ranker = Ranker(trees_of(order, trained_columns(matrix), TrainSettings()))
    other = np.random.default_rng(2).gamma(1.0, 1.0, matrix.shape).astype(np.float32)
    used = order.vector != 0
    other[:, used] = matrix[:, used]
    np.testing.assert_array_equal(ranker.scores(other), ranker.scores(matrix))


def test_on_structured_data_the_ranker_is_better_and_serves(records: Records) -> None:
    order = order_of(records)
    assert order.name == RANKER
    assert order.comparison.ranker > order.comparison.simple


def test_a_ranker_that_learned_nothing_gives_way_to_the_best_simple_order(records: Records) -> None:
    """By a feature of the user alone all candidates are equal, and the order would be that of their numbers."""
    others = tuple(name for name in TRAINED_NAMES if name != "user_mean_price")
    order = order_of(records, replace(SMALL, left_out_features=others))
    assert order.name == order.comparison.simple_order != RANKER
    assert order.comparison.ranker < order.comparison.simple
    assert Ranker(order.text).method == "bit masks"


def test_overfitting_shows_as_the_difference_between_training_and_validation(records: Records) -> None:
    overfitted = order_of(records, replace(SMALL, queries=200, trees=60, leaves=60)).comparison
    modest = order_of(records).comparison
    assert overfitted.ranker_seen - overfitted.ranker > modest.ranker_seen - modest.ranker


def not_worse(found: Evaluation) -> None:
    for protocol, result in found.protocols.items():
        best = result.best_baseline
        assert best is not None
        assert result.differences[best].high >= 0, (protocol, result.order, best, result.differences[best])


def test_on_permuted_times_the_order_is_not_significantly_below_the_best_simple_model(records: Records) -> None:
    not_worse(evaluated(permuted(records)))


def test_eight_users_and_six_datasets_are_ranked_by_a_simple_order(records: Records) -> None:
    tiny = first(records, users=8, datasets=6)
    order = order_of(tiny)
    assert order.name != RANKER
    found = evaluated(tiny)
    not_worse(found)
    assert found.protocols.keys() | found.missing.keys() >= {LEAVE_LAST_OUT}


@pytest.mark.parametrize(("users", "datasets"), [(1, 300), (200, 1)])
def test_one_user_or_one_dataset_is_refused_with_the_cause_and_the_amount_needed(
    records: Records, users: int, datasets: int
) -> None:
    few = first(records, users=users, datasets=datasets)
    cause = (
        r"interactions of [0-9,]+ users with [0-9,]+ datasets; training needs .*: 3 interactions, 2 users, 2 datasets"
    )
    with pytest.raises(TrainingError, match=cause):
        order_of(few)


@pytest.mark.parametrize("time", [0, 1_760_000_000])
def test_equal_or_missing_times_are_refused_with_the_cause_and_the_amount_needed(records: Records, time: int) -> None:
    with pytest.raises(TrainingError, match=r"have the same `ts`.* look at the time column.*3 interactions, 2 users"):
        order_of(at_times(records, np.full_like(records.ts, time)))
