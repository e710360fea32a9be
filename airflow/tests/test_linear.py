"""The linear ranker, and the choice of a ranker's shape by the size of the data."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.features import FEATURES, TRAINED_FEATURES
from pipeline.train import TrainSettings
from pipeline.train.challengers import Shape, train_on_linear, train_shape, train_trees
from pipeline.train.lambdamart import TRAINED_NAMES
from pipeline.train.linear import fit_linear, trees_of_linear
from ranking.ranker import Ranker

Examples = list[NDArray[np.float32]]
SETTINGS = TrainSettings(trees=40)
WIDTH = len(TRAINED_FEATURES)
TRUE = np.zeros(WIDTH)
TRUE[:4] = (2.0, -1.0, 0.5, 0.0)


def linear_examples(queries: int, seed: int, candidates: int = 20) -> Examples:
    """Draw the taken candidate by the logit of `TRUE`, and put it last."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(queries):
        matrix = rng.normal(0.0, 1.0, (candidates, WIDTH)).astype(np.float32)
        taken = int(np.argmax(matrix @ TRUE + rng.gumbel(0.0, 1.0, candidates)))
        found.append(np.concatenate([np.delete(matrix, taken, axis=0), matrix[taken : taken + 1]]))
    return found


def share_found(text: str, examples: Examples) -> float:
    """Return how often the taken candidate is ranked first."""
    ranker = Ranker(text)
    return float(np.mean([np.argmax(ranker.scores(full(example))) == len(example) - 1 for example in examples]))


def full(example: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return trained columns as the ranker gets them: among all that are computed."""
    matrix = np.zeros((len(example), len(FEATURES)), np.float32)
    matrix[:, [FEATURES.index(feature) for feature in TRAINED_FEATURES]] = example
    return matrix


def test_the_weights_of_a_logit_are_found_again() -> None:
    model = fit_linear(linear_examples(4000, 1))
    np.testing.assert_allclose(model.weights[:4], TRUE[:4], atol=0.12)
    assert np.abs(model.weights[4:]).max() < 0.12


def test_a_constant_feature_has_no_weight_and_a_huge_value_decides_nothing_more_than_a_large_one() -> None:
    examples = linear_examples(500, 2)
    for example in examples:
        example[:, 5] = 7.0
    model = fit_linear(examples)
    assert model.weights[5] == 0.0
    row = np.zeros((2, WIDTH), np.float32)
    row[0, 0], row[1, 0] = 1e6, 1e30
    large, huge = model.scores(row)
    assert large == huge


def test_the_trees_of_a_linear_model_rank_as_it_does() -> None:
    examples = linear_examples(2000, 3)
    model = fit_linear(examples)
    ranker = Ranker(trees_of_linear(model, np.concatenate(examples), TRAINED_NAMES, 42))
    assert ranker.method == "bit masks"
    fresh = linear_examples(200, 4)
    same = [np.argmax(model.scores(example)) == np.argmax(ranker.scores(full(example))) for example in fresh]
    assert np.mean(same) > 0.9


def test_equal_candidates_have_no_linear_model() -> None:
    examples = [np.ones((5, WIDTH), np.float32)] * 10
    assert trees_of_linear(fit_linear(examples), np.concatenate(examples), TRAINED_NAMES, 42) == ""
    assert list(train_on_linear(examples, SETTINGS)) == [Shape(linear=False, trees=40)]


def test_with_few_queries_of_a_linear_truth_a_linear_shape_is_ahead_of_trees_alone() -> None:
    few, fresh = linear_examples(150, 5), linear_examples(1000, 6)
    (alone,) = train_trees(few, SETTINGS).values()
    on_linear = train_on_linear(few, SETTINGS)
    assert [shape.trees for shape in on_linear] == [0, 5, 10, 20, 30, 40]
    assert max(share_found(text, fresh) for text in on_linear.values()) > share_found(alone, fresh) + 0.03


@pytest.mark.parametrize("trees", [0, 10])
def test_a_linear_shape_is_trained_as_it_was_compared(trees: int) -> None:
    examples, shape = linear_examples(200, 7), Shape(linear=True, trees=trees)
    rows = full(np.concatenate(examples))
    served, compared = train_shape(shape, examples, SETTINGS), train_on_linear(examples, SETTINGS)[shape]
    np.testing.assert_array_equal(Ranker(served).scores(rows), Ranker(compared).scores(rows))
