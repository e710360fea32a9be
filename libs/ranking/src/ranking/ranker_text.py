"""The grammar of LightGBM's model text, checked before LightGBM reads it.

LightGBM parses the trees in threads of its own, at the offsets that `tree_sizes` names, and believes every index. What
it can't parse there ends the process; what points elsewhere reads foreign memory. Source: LightGBM 4,
`GBDT::LoadModelFromString` and `Tree::Tree(const char*, size_t*)`.
"""

import math
import re
from typing import TypeVar

from contracts import bounded_json

_T = TypeVar("_T")

MAX_TREES = 20_000
# LightGBM's own maximum; a tree that is deeper than this would exhaust the stack of its recursions.
MAX_LEAVES = 131_072
MAX_DEPTH = 400
_MAX_SHOWN = 60
_INTS = re.compile(r"-?[0-9]{1,10}(?: -?[0-9]{1,10})*")
_NUMBER = r"-?[0-9]{1,310}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?"
_NUMBERS = re.compile(f"{_NUMBER}(?: {_NUMBER})*")
# What LightGBM never reads back as a split, and may write as `inf` or `nan`.
_STATISTICS = re.compile(rf"(?:{_NUMBER}|-?inf|-?nan)(?: (?:{_NUMBER}|-?inf|-?nan))*")
_OBJECTIVE = re.compile(r"[a-z0-9_]{1,60}(?: [a-z0-9_]{1,60}:[a-zA-Z0-9_.,+-]{1,60}| sqrt){0,10}")
_INFO = re.compile(rf"none|\[{_NUMBER}:{_NUMBER}\]|-?[0-9]{{1,10}}(?::-?[0-9]{{1,10}})*")
_TAIL = re.compile(
    r"|feature_importances:|[!-~]{1,200}=[0-9]{1,20}|parameters:|end of parameters"
    r"|\[[a-z0-9_]{1,100}: [ -~]{0,100000}\]"
)
_HEADER_KEYS = frozenset(
    {
        "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective",
        "feature_names", "feature_infos", "monotone_constraints", "tree_sizes",
    }
)  # fmt: skip
_OF_NODES = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_STATISTICS_OF_NODES = ("split_gain", "internal_value", "internal_weight", "internal_count")
_PANDAS = "pandas_categorical:"
_END_OF_TREES = "end of trees\n"
_CATEGORICAL = 1


class RankerGrammarError(ValueError):
    """The text is not one that LightGBM wrote; the message names the part at fault."""


def check_ranker_text(text: str) -> None:
    """Check a model text; raises `RankerGrammarError`."""
    if not text.isascii():
        raise RankerGrammarError("holds characters that are not ASCII")
    start = text.find("\nTree=0\n") + 1
    if not start:
        raise RankerGrammarError("has no tree")
    header = _check_header(text[:start])
    features = int(header["max_feature_idx"]) + 1
    for number, size in enumerate(_ints(header, "tree_sizes", "the header")):
        tree = text[start : start + size]
        if not tree.startswith(f"Tree={number}\n") or not tree.endswith("\n"):
            raise RankerGrammarError(f"Tree={number} is not where tree_sizes says")
        _Tree(tree, number).check(features)
        start += size
    if not text.startswith(_END_OF_TREES, start):
        raise RankerGrammarError("more follows the last tree of tree_sizes than `end of trees`")
    _check_tail(text[start + len(_END_OF_TREES) :])


def _check_header(text: str) -> dict[str, str]:
    kind, *lines = text.rstrip("\n").split("\n")
    if kind != "tree":
        raise RankerGrammarError(f"begins with {kind[:_MAX_SHOWN]!r}, not with `tree`")
    header = _pairs([line for line in lines if line != "average_output"], "the header")
    if strangers := header.keys() - _HEADER_KEYS:
        raise RankerGrammarError(f"the header has an unknown line {min(strangers)[:_MAX_SHOWN]!r}")
    for name, wanted in (("num_class", "1"), ("num_tree_per_iteration", "1")):
        if header.get(name) != wanted:
            raise RankerGrammarError(f"{name} is not {wanted}")
    if header.get("version") not in ("v3", "v4"):
        raise RankerGrammarError("version is neither v3 nor v4")
    if "objective" in header and not _OBJECTIVE.fullmatch(header["objective"]):
        raise RankerGrammarError("the objective is malformed")
    if not 0 < header.get("tree_sizes", "").count(" ") + 1 <= MAX_TREES:
        raise RankerGrammarError(f"more than {MAX_TREES} trees")
    _check_features(header)
    return header


def _check_features(header: dict[str, str]) -> None:
    names, infos = header.get("feature_names", "").split(" "), header.get("feature_infos", "").split(" ")
    (last,) = _counted(_ints(header, "max_feature_idx", "the header"), 1, "max_feature_idx")
    _counted(_ints(header, "label_index", "the header"), 1, "label_index")
    if "" in names or len(set(names)) != len(names) or not len(names) == len(infos) == last + 1:
        raise RankerGrammarError("feature_names, feature_infos and max_feature_idx do not fit one another")
    if not all(map(_INFO.fullmatch, infos)):
        raise RankerGrammarError("feature_infos is malformed")
    if "monotone_constraints" in header:
        _counted(_ints(header, "monotone_constraints", "the header"), last + 1, "monotone_constraints")


def _check_tail(text: str) -> None:
    for line in text.split("\n"):
        if line.startswith(_PANDAS):
            try:
                bounded_json.loads(line.removeprefix(_PANDAS).encode(), max_bytes=2**16)
            except bounded_json.JsonError as error:
                raise RankerGrammarError(f"pandas_categorical: {error}") from error
        elif not _TAIL.fullmatch(line):
            raise RankerGrammarError(f"an unknown line after the trees: {line[:_MAX_SHOWN]!r}")


class _Tree:
    """One tree's lines."""

    def __init__(self, text: str, number: int) -> None:
        self._name = f"Tree={number}"
        self._pairs = _pairs(text.rstrip("\n").split("\n")[1:], self._name)

    def check(self, features: int) -> None:
        """Check every line, and that each node and leaf hangs at one place; raises `RankerGrammarError`."""
        (leaves,) = _counted(self._ints("num_leaves"), 1, "num_leaves")
        if not 0 < leaves <= MAX_LEAVES:
            raise RankerGrammarError(f"{self._name}: {leaves} leaves")
        nodes = leaves - 1
        split = self._ints("split_feature", nodes)
        if any(not 0 <= feature < features for feature in split):
            raise RankerGrammarError(f"{self._name}: split_feature names a feature that there is not")
        thresholds = self._numbers("threshold", nodes)
        decisions = self._ints("decision_type", nodes)
        if any(not 0 <= decision < 16 for decision in decisions):
            raise RankerGrammarError(f"{self._name}: an unknown decision_type")
        self._check_categories([at for at, kind in zip(thresholds, decisions, strict=True) if kind & _CATEGORICAL])
        self._check_shape(self._ints("left_child", nodes), self._ints("right_child", nodes), leaves)
        self._numbers("leaf_value", leaves)
        self._check_rest(leaves)

    def _check_categories(self, used: list[float]) -> None:
        (count,) = _counted(self._ints("num_cat"), 1, "num_cat")
        ends = self._ints("cat_boundaries", count + 1) if count else [0]
        masks = self._ints("cat_threshold", ends[-1]) if count else []
        if count < 0 or ends[0] != 0 or ends != sorted(ends) or any(not 0 <= mask < 2**32 for mask in masks):
            raise RankerGrammarError(f"{self._name}: cat_boundaries or cat_threshold is malformed")
        if any(not (0 <= at < count and at == int(at)) for at in used):
            raise RankerGrammarError(f"{self._name}: a split by category names one that there is not")

    def _check_shape(self, left: list[int], right: list[int], leaves: int) -> None:
        children = [child for pair in zip(left, right, strict=True) for child in pair]
        expected = [*range(-leaves, 0), *range(1, leaves - 1)] if leaves > 1 else []
        if sorted(children) != expected:
            raise RankerGrammarError(f"{self._name}: left_child and right_child do not name each node and leaf once")
        depths = [0] * max(leaves - 1, 1)
        for place, child in enumerate(children):
            if child < 0:
                continue
            # LightGBM numbers a node when it splits a leaf: a child comes after its parent, and there is no circle.
            if child <= place // 2:
                raise RankerGrammarError(f"{self._name}: a node comes before its parent")
            depths[child] = depths[place // 2] + 1
        if max(depths) > MAX_DEPTH:
            raise RankerGrammarError(f"{self._name}: deeper than {MAX_DEPTH}")

    def _check_rest(self, leaves: int) -> None:
        for name in _STATISTICS_OF_NODES:
            self._statistics(name, leaves - 1)
        for name in ("leaf_weight", "leaf_count"):
            # A tree of one leaf may have none.
            if leaves > 1 or self._pairs.get(name):
                self._statistics(name, leaves)
        if "shrinkage" in self._pairs:
            self._numbers("shrinkage", 1)
        is_linear = self._pairs.get("is_linear", "0")
        if is_linear not in ("0", "1"):
            raise RankerGrammarError(f"{self._name}: is_linear is neither 0 nor 1")
        if is_linear == "1":
            raise RankerGrammarError(f"{self._name}: linear models in the leaves are not supported")
        known = {*_OF_NODES, *_STATISTICS_OF_NODES, "num_leaves", "num_cat", "cat_boundaries", "cat_threshold"}
        known |= {"leaf_value", "leaf_weight", "leaf_count", "is_linear", "shrinkage"}
        if strangers := self._pairs.keys() - known:
            raise RankerGrammarError(f"{self._name}: an unknown line {min(strangers)[:_MAX_SHOWN]!r}")

    def _ints(self, name: str, count: int = 1) -> list[int]:
        return _counted(_ints(self._pairs, name, self._name, may_be_empty=not count), count, f"{self._name}: {name}")

    def _numbers(self, name: str, count: int) -> list[float]:
        found = self._values(name, count, _NUMBERS)
        values = [float(each) for each in found]
        if any(map(math.isinf, values)):
            raise RankerGrammarError(f"{self._name}: {name} holds a number that is too large")
        return values

    def _statistics(self, name: str, count: int) -> None:
        if count or self._pairs.get(name):
            self._values(name, count, _STATISTICS)

    def _values(self, name: str, count: int, grammar: re.Pattern[str]) -> list[str]:
        value = self._pairs.get(name)
        if value is None or not (grammar.fullmatch(value) if count else value == ""):
            raise RankerGrammarError(f"{self._name}: {name} is missing or malformed")
        return _counted(value.split(" ") if count else [], count, f"{self._name}: {name}")


def _pairs(lines: list[str], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if not equals or name in found:
            raise RankerGrammarError(f"{where}: {line[:_MAX_SHOWN]!r} is not a line of its own name and value")
        found[name] = value
    return found


def _ints(pairs: dict[str, str], name: str, where: str, *, may_be_empty: bool = False) -> list[int]:
    value = pairs.get(name)
    if value == "" and may_be_empty:
        return []
    if value is None or not _INTS.fullmatch(value):
        raise RankerGrammarError(f"{where}: {name} is missing or malformed")
    return [int(each) for each in value.split(" ")]


def _counted(values: list[_T], count: int, what: str) -> list[_T]:
    if len(values) != count:
        raise RankerGrammarError(f"{what} has {len(values)} values, expected {count}")
    return values
