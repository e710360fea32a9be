"""Examples of what answers have shown: what was taken is ranked above what was not, whichever place both had."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Later places are one: few answers have them, and users hardly reach them.
LAST_PLACE = 20
# Queries of the past have no places: all their rows share this one, so its bias changes no comparison.
NO_PLACE = LAST_PLACE + 1


class GradedExample(NamedTuple):
    """One answer: trained features [m, columns], and of each row the grade (0: not taken) and the place, both [m].

    `weight` falls with its age; `user` is a row of the records' users.
    """

    matrix: NDArray[np.float32]
    grades: NDArray[np.uint8]
    places: NDArray[np.int32]
    weight: float
    user: int


class RankedRows(NamedTuple):
    """What LightGBM needs of all rows of a training; `places` and `weights` are None without graded examples."""

    matrix: NDArray[np.float32]
    labels: NDArray[np.float32]
    groups: list[int]
    places: NDArray[np.int32] | None = None
    weights: NDArray[np.float32] | None = None


def ranked_rows(examples: Sequence[NDArray[np.float32]], graded: Sequence[GradedExample]) -> RankedRows:
    """Return the rows of examples, whose last row is the target, and of graded ones after them."""
    groups = [len(example) for example in examples]
    labels = np.zeros(sum(groups), np.float32)
    labels[np.cumsum(groups) - 1] = 1.0
    if not graded:
        return RankedRows(np.concatenate(examples), labels, groups)
    places = [np.full(len(labels), NO_PLACE), *(np.minimum(each.places, LAST_PLACE) for each in graded)]
    weights = [np.ones(len(labels)), *(np.full(len(each.grades), each.weight) for each in graded)]
    return RankedRows(
        np.concatenate([*examples, *(each.matrix for each in graded)]),
        np.concatenate([labels, *(each.grades for each in graded)]).astype(np.float32),
        groups + [len(each.grades) for each in graded],
        np.concatenate(places).astype(np.int32),
        np.concatenate(weights).astype(np.float32),
    )
