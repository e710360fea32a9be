"""Rankers of several shapes, of which the one that does best on other users is trained on all queries.

With few queries a linear model beats trees, and a few trees on top of it beat both. With many, trees alone are best.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.train.additive_trees import some_rows
from pipeline.train.graded import GradedExample
from pipeline.train.lambdamart import TrainSettings, boost
from pipeline.train.linear import fit_linear, trees_of_linear

# Of the trees of the settings.
_SHARES = (0.0, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
# Candidates that the trees of the linear model are fitted to.
_MAX_ROWS = 20_000


class Shape(NamedTuple):
    """A ranker: boosted `trees`, from a linear model or from nothing."""

    linear: bool
    trees: int


def train_on_linear(
    examples: Sequence[NDArray[np.float32]], settings: TrainSettings, graded: Sequence[GradedExample] = ()
) -> dict[Shape, str]:
    """Return the LightGBM text of a linear model, with several numbers of trees on top of it.

    Candidates that are all equal have no linear model; then the shape is that of `train_trees`.
    """
    if not (start := _linear_text(examples, settings)):
        return train_trees(examples, settings, graded)
    upon = boost(examples, settings, trees=settings.trees, start=start, graded=graded)
    return {Shape(linear=True, trees=trees): upon.text(trees) for trees in _sizes(settings)}


def train_trees(
    examples: Sequence[NDArray[np.float32]], settings: TrainSettings, graded: Sequence[GradedExample] = ()
) -> dict[Shape, str]:
    """Return the LightGBM text of all trees, without a linear model."""
    shape = Shape(linear=False, trees=settings.trees)
    return {shape: train_shape(shape, examples, settings, graded)}


def train_shape(
    shape: Shape, examples: Sequence[NDArray[np.float32]], settings: TrainSettings, graded: Sequence[GradedExample] = ()
) -> str:
    """Return the LightGBM text of one shape."""
    if shape.linear and (start := _linear_text(examples, settings)):
        if not shape.trees:
            return start
        return boost(examples, settings, trees=shape.trees, start=start, graded=graded).text(shape.trees)
    return boost(examples, settings, trees=max(1, shape.trees), graded=graded).text(max(1, shape.trees))


def _sizes(settings: TrainSettings) -> list[int]:
    return sorted({round(settings.trees * share) for share in _SHARES})


def _linear_text(examples: Sequence[NDArray[np.float32]], settings: TrainSettings) -> str:
    rows = some_rows(examples, _MAX_ROWS)
    return trees_of_linear(fit_linear(examples), rows, settings.trained_names, settings.seed)
