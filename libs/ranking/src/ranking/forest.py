"""LightGBM's trees as bit masks: bit-equal scores, many times faster for a few hundred rows.

A row is a bit. Each distinct comparison of the trees is made once for all rows, 16 at a time. After that a node takes
two ANDs for 256 rows, and no branch depends on a row. (QuickScorer by Lucchese et al., SIGIR 2015, transposed: there a
leaf is a bit.)
"""

from collections.abc import Iterator, Sequence, Sized
from typing import Any, NamedTuple

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from ranking.jit import Fields, compiled
from ranking.lanes import (
    CAN_ADD,
    LANES,
    LOOKED_UP,
    ROWS,
    WORDS,
    Leaves,
    Split,
    add_leaf_values,
    number_leaves,
    round_up_to_lanes,
    set_bits_above,
    split_rows,
    zero_nan_and_find_range,
)

MAX_LEAVES = 64
# Objectives whose prediction is the plain sum of the trees.
_PLAIN_SUMS = frozenset({"lambdarank", "rank_xendcg", "regression"})
# The number of trees whose leaves are added at once.
_TOGETHER = 4
# The number of trees whose description is parsed in about a millisecond.
_PARSED = 5


class UnrepresentableError(ValueError):
    """The model contains something that bit masks can't express, which the message names; LightGBM ranks it instead."""


class Columns(NamedTuple):
    """Transposed rows: `values` float32 [features, whole lanes], of which the first `rows` of each feature count."""

    values: NDArray[np.float32]
    rows: int

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The rows in the usual layout: a view [rows, features]."""
        return self.values[:, : self.rows].T


class _Trees(NamedTuple):
    """The trees of a model in flat arrays; each of the `first_…` has the end of the last part, too.

    `thresholds` are those of all distinct comparisons, by feature and ascending. A node has the number of its
    comparison and its children, as `_Node`; the `leaves` have `LOOKED_UP` zeros after the last tree's.
    """

    first_tests: NDArray[np.uint32]  # by feature
    thresholds: NDArray[np.float32]
    first_nodes: NDArray[np.uint32]  # by tree
    node_tests: NDArray[Any]  # uint16 or uint32
    lefts: NDArray[np.uint8]
    rights: NDArray[np.uint8]
    first_leaves: NDArray[np.uint32]  # by tree
    leaves: NDArray[np.float64]
    most_leaves: int


class _Part(NamedTuple):
    """The rows from `start` to before `stop`, in columns that begin `stride` values after one another."""

    stride: int
    start: int
    stop: int


class Forest:
    """The trees of a model; `fields` are those of `_Trees`, for `forest_scores`."""

    def __init__(self, booster: lgb.Booster, columns: NDArray[np.int64], width: int) -> None:
        """Convert the trees of a model whose features are the `columns` of rows that are `width` wide.

        Raises `UnrepresentableError`.
        """
        model = _dump_model(booster)
        _check(model)
        trees = [_Tree(tree) for tree in model["tree_info"]]
        nodes = [node for tree in trees for node in tree.nodes]
        features = columns[np.array([node.feature for node in nodes], np.int64)]
        thresholds = np.array([node.threshold for node in nodes], np.float32)
        # All distinct comparisons, by feature and ascending; `tests` names the comparison of each node.
        different = [np.unique(thresholds[features == feature]) for feature in range(width)]
        first_tests = _start_offsets(different)
        # As small as possible: all trees are read for every query, and should fit into a cache of 32 kB.
        tests = np.empty(len(nodes), np.uint16 if first_tests[-1] <= 2**16 else np.uint32)
        for feature, ascending in enumerate(different):
            mine = features == feature
            tests[mine] = first_tests[feature] + np.searchsorted(ascending, thresholds[mine])
        arrays = _Trees(
            first_tests=first_tests,
            thresholds=np.concatenate([*different, np.empty(0, np.float32)]),
            first_nodes=_start_offsets([tree.nodes for tree in trees]),
            node_tests=tests,
            lefts=np.array([node.left for node in nodes], np.uint8),
            rights=np.array([node.right for node in nodes], np.uint8),
            first_leaves=_start_offsets([tree.leaves for tree in trees]),
            leaves=np.array([leaf for tree in trees for leaf in tree.leaves] + [0.0] * LOOKED_UP, np.float64),
            most_leaves=max(len(tree.leaves) for tree in trees),
        )
        self.fields: Fields = tuple(arrays)

    def scores(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one raw score per row, [m] float64, as `Booster.predict` does."""
        return forest_scores(_transpose(matrix).reshape(-1), len(matrix), self.fields)


class _Node(NamedTuple):
    """`left` and `right` are indices: inner nodes start at 0, leaves at MAX_LEAVES."""

    feature: int
    threshold: np.float32
    left: int
    right: int


class _Tree:
    """`leaves` from left to right, and `nodes` breadth first: a node's rows are known long before they are needed."""

    def __init__(self, tree: dict[str, Any]) -> None:
        root = tree["tree_structure"]
        leaves = [node for node in _all_nodes(root) if "split_feature" not in node]
        if len(leaves) > MAX_LEAVES:
            raise UnrepresentableError(f"a tree of {len(leaves)} leaves; the maximum is {MAX_LEAVES}")
        self.leaves: list[float] = [leaf["leaf_value"] for leaf in leaves]
        inner = list(_in_breadth(root))
        places = {id(node): place for place, node in enumerate(inner)}
        places |= {id(leaf): MAX_LEAVES + place for place, leaf in enumerate(leaves)}
        self.nodes = [
            _Node(
                node["split_feature"],
                _float32_below(node["threshold"]),
                places[id(node["left_child"])],
                places[id(node["right_child"])],
            )
            for node in inner
        ]


def _dump_model(booster: lgb.Booster) -> dict[str, Any]:
    """Return LightGBM's dump of a model, in parts: parsing one part blocks all other threads."""
    trees = max(booster.current_iteration(), 1)
    parts = [booster.dump_model(_PARSED, first) for first in range(0, trees, _PARSED)]
    return parts[0] | {"tree_info": [tree for part in parts for tree in part["tree_info"]]}


def _in_breadth(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the inner nodes, each level from left to right; raises `UnrepresentableError`."""
    level = [root]
    while level:
        inner = [node for node in level if "split_feature" in node]
        for node in inner:
            if node["decision_type"] != "<=":
                raise UnrepresentableError(f"a split by category ({node['decision_type']})")
            if node["missing_type"] != "None":
                raise UnrepresentableError(f"a split with its own branch for missing values ({node['missing_type']})")
            yield node
        level = [node[child] for node in inner for child in ("left_child", "right_child")]


def _start_offsets(parts: Sequence[Sized]) -> NDArray[np.uint32]:
    """Return the start of each part if the parts are stored one after another, and the end of the last."""
    return np.cumsum([0, *map(len, parts)]).astype(np.uint32)


def _check(model: dict[str, Any]) -> None:
    objective = str(model.get("objective", "")).partition(" ")
    if objective[0] not in _PLAIN_SUMS or "sqrt" in objective[2]:
        raise UnrepresentableError(f"objective {model.get('objective')!r} is more than a sum of trees")
    if model["num_tree_per_iteration"] != 1 or model.get("average_output"):
        raise UnrepresentableError("several trees to an iteration, or an average of trees")
    if any("leaf_coeff" in node for tree in model["tree_info"] for node in _all_nodes(tree["tree_structure"])):
        raise UnrepresentableError("linear models in the leaves")


def _all_nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in ("left_child", "right_child"):
        if child in node:
            yield from _all_nodes(node[child])


def _float32_below(threshold: float) -> np.float32:
    """Return the greatest float32 ≤ threshold: for any float32 both comparisons have the same result."""
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
    return np.nextafter(near, np.float32(-np.inf)) if float(near) > threshold else near


@compiled
def _transpose(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the transposed matrix, [features, whole lanes]."""
    rows, width = matrix.shape
    columns = np.empty((width, round_up_to_lanes(rows)), np.float32)
    for feature in range(width):
        for row in range(rows):
            columns[feature, row] = matrix[row, feature]
    return columns


@compiled
def forest_scores(columns: NDArray[np.float32], rows: int, fields: Fields) -> NDArray[np.float64]:
    """Compiled part of `Forest.scores`, of its `fields`.

    `columns` are flat; NaN in them becomes 0, as in the trees.
    """
    trees = _Trees(*fields)
    first_nodes, first_leaves = trees.first_nodes, trees.first_leaves
    stride = round_up_to_lanes(rows)
    scores = np.zeros(stride)  # `add_leaf_values` writes some values after the last row
    tests = np.empty(len(trees.thresholds) * WORDS, np.uint64)
    reach = np.empty(2 * MAX_LEAVES * WORDS, np.uint64)
    numbers = np.empty(_TOGETHER * ROWS, np.uint8)
    number_of_trees = len(first_nodes) - 1
    for start in range(0, rows, ROWS):
        stop = min(start + ROWS, rows)
        _compare(columns, _Part(stride, start, stop), trees, tests)
        for first in range(0, number_of_trees, _TOGETHER):
            count = min(_TOGETHER, number_of_trees - first)
            for tree in range(first, first + count):
                # A tree without a split is a single leaf.
                for word in range(WORDS):
                    reach[word] = reach[MAX_LEAVES * WORDS + word] = ~np.uint64(0)
                for node in range(first_nodes[tree], first_nodes[tree + 1]):
                    split = Split(trees.node_tests[node], trees.lefts[node], trees.rights[node])
                    split_rows(reach, node - first_nodes[tree], tests, split)
                number_leaves(
                    reach, MAX_LEAVES, first_leaves[tree + 1] - first_leaves[tree], numbers, (tree - first) * ROWS
                )
            # Each row's leaves are added one after another, as in LightGBM; the compiler must not reorder a sum.
            if CAN_ADD and count == _TOGETHER and trees.most_leaves <= LOOKED_UP:
                firsts = (
                    np.int64(first_leaves[first]),
                    np.int64(first_leaves[first + 1]),
                    np.int64(first_leaves[first + 2]),
                    np.int64(first_leaves[first + 3]),
                )
                add_leaf_values(scores, start, stop, numbers, Leaves(trees.leaves, firsts))
            else:
                for tree in range(count):
                    for row in range(stop - start):
                        scores[start + row] += trees.leaves[first_leaves[first + tree] + numbers[tree * ROWS + row]]
    return scores[:rows]


@compiled
def _compare(columns: NDArray[np.float32], part: _Part, trees: _Trees, tests: NDArray[np.uint64]) -> None:
    """Set each test's bits: which rows of the part are above its threshold; bits after the last are undefined."""
    stride, start, stop = part
    first_tests, thresholds = trees.first_tests, trees.thresholds
    halves = tests.view(np.uint16)
    for feature in range(len(first_tests) - 1):
        column = feature * stride
        begin, end = column + start, column + round_up_to_lanes(stop)
        for pad in range(column + stop, end):
            columns[pad] = columns[begin]
        least, greatest = zero_nan_and_find_range(columns, begin, end)
        for test in range(first_tests[feature], first_tests[feature + 1]):
            if thresholds[test] < least:
                for word in range(WORDS):
                    tests[test * WORDS + word] = ~np.uint64(0)
            elif thresholds[test] < greatest:
                for lane in range((end - begin) // LANES):
                    set_bits_above(columns, begin + lane * LANES, thresholds[test], halves, test * 4 * WORDS + lane)
            else:
                for word in range(WORDS):
                    tests[test * WORDS + word] = np.uint64(0)
