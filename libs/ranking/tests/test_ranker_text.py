"""LightGBM's own texts are read; others are rejected before LightGBM, which would end the process, sees them."""

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from contracts.features import FEATURES
from ranking.ranker import Ranker, UnusableRankerError
from ranking.ranker_text import RankerGrammarError, check_ranker_text


@cache
def text(**changes: Any) -> str:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, len(FEATURES)))
    rows[:, 1] = rng.integers(0, 6, len(rows))
    target = np.abs(rows[:, 0]) + np.isin(rows[:, 1], [1, 3])
    parameters = {"objective": "regression", "num_leaves": 15, "verbosity": -1, "num_threads": 1} | changes
    group = None
    if parameters["objective"] in ("lambdarank", "rank_xendcg"):
        target, group = np.floor(target), [100] * 6
    if parameters["objective"] == "binary":
        target = (target > 1).astype(float)
    category: Any = [1] if parameters.pop("category", False) else "auto"
    names = [feature.name for feature in FEATURES]
    data = lgb.Dataset(rows, target, group=group, feature_name=names, categorical_feature=category)
    return str(lgb.train(parameters, data, 5).model_to_string())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": "lambdarank"},
        {"objective": "rank_xendcg"},
        {"objective": "binary"},
        {"category": True},
        {"use_missing": True, "zero_as_missing": True},
        {"min_gain_to_split": 1e12},
        {"num_leaves": 300, "min_data_in_leaf": 1},
        {"boosting": "dart"},
        {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
        {"reg_sqrt": True},
        {"learning_rate": 1e-308},
        {"monotone_constraints": [1] + [0] * (len(FEATURES) - 1)},
    ],
    ids=str,
)
def test_what_lightgbm_writes_is_read(changes: dict[str, Any]) -> None:
    written = text(**{name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()})
    check_ranker_text(written)
    # LightGBM writes the same again after reading it.
    check_ranker_text(lgb.Booster(model_str=written).model_to_string())
    Ranker(written)


def _refresh_sizes(changed: str) -> str:
    """Write the offsets anew, as one would who wants the change to be read."""
    start = changed.find("\nTree=0\n") + 1
    trees = changed[start : changed.find("end of trees\n")]
    parts = ["Tree=" + part for part in trees.split("Tree=")[1:]]
    old = next(line for line in changed.split("\n") if line.startswith("tree_sizes="))
    return changed.replace(old, "tree_sizes=" + " ".join(str(len(part)) for part in parts))


def _line(name: str, change: Callable[[str], str]) -> Callable[[str], str]:
    def changed(whole: str) -> str:
        lines = whole.split("\n")
        place = next(place for place, line in enumerate(lines) if line.startswith(f"{name}="))
        lines[place] = f"{name}={change(lines[place].removeprefix(f'{name}='))}"
        return _refresh_sizes("\n".join(lines))

    return changed


def _without(name: str) -> Callable[[str], str]:
    def changed(whole: str) -> str:
        lines = whole.split("\n")
        del lines[next(place for place, line in enumerate(lines) if line.startswith(f"{name}="))]
        return _refresh_sizes("\n".join(lines))

    return changed


CHANGES: dict[str, Callable[[str], str]] = {
    "a space before a value": _line("leaf_value", lambda value: f" {value}"),
    "a space without new offsets": lambda whole: whole.replace("leaf_value=", "leaf_value= ", 1),
    "two spaces": _line("threshold", lambda value: value.replace(" ", "  ", 1)),
    "a word for a number": _line("leaf_value", lambda value: "x" + value[1:]),
    "not a number": _line("leaf_value", lambda value: "nan " + value.partition(" ")[2]),
    "too large": _line("threshold", lambda value: "1e999 " + value.partition(" ")[2]),
    "hexadecimal": _line("leaf_value", lambda value: "0x1p3 " + value.partition(" ")[2]),
    "a value less": _line("leaf_value", lambda value: value.rpartition(" ")[0]),
    "a child less": _line("left_child", lambda value: value.rpartition(" ")[0]),
    "a child outside": _line("left_child", lambda value: "999999 " + value.partition(" ")[2]),
    "a leaf outside": _line("left_child", lambda value: "-999999 " + value.partition(" ")[2]),
    "a circle": _line("left_child", lambda value: "0 " + value.partition(" ")[2]),
    "a feature outside": _line("split_feature", lambda value: "1000000 " + value.partition(" ")[2]),
    "a negative feature": _line("split_feature", lambda value: "-5 " + value.partition(" ")[2]),
    "a category that is not there": _line("decision_type", lambda value: "1 " + value.partition(" ")[2]),
    "many leaves": _line("num_leaves", lambda _: "2000000000"),
    "no leaf": _line("num_leaves", lambda _: "0"),
    "negative leaves": _line("num_leaves", lambda _: "-1"),
    "negative categories": _line("num_cat", lambda _: "-1"),
    "categories": _line("num_cat", lambda _: "2000000000"),
    "linear": _line("is_linear", lambda _: "1"),
    "no leaves' values": _without("leaf_value"),
    "no children": _without("right_child"),
    "no offsets": lambda whole: whole.replace("tree_sizes=", "sizes=", 1),
    "no features": _without("max_feature_idx"),
    "fewer features": _line("max_feature_idx", lambda _: "3"),
    "many features": _line("max_feature_idx", lambda _: "2147483647"),
    "classes": _line("num_class", lambda _: "1000000"),
    "trees to an iteration": _line("num_tree_per_iteration", lambda _: "7"),
    "an offset outside": lambda whole: whole.replace("tree_sizes=", "tree_sizes=9999999 ", 1),
    "a negative offset": lambda whole: whole.replace("tree_sizes=", "tree_sizes=-", 1),
    "cut short": lambda whole: whole[: len(whole) // 2],
    "no end": lambda whole: whole.replace("end of trees", "end of trees?"),
    "another parameter": lambda whole: whole.replace("parameters:", "parameters:\nx", 1),
    "pandas": lambda whole: whole.replace("pandas_categorical:null", "pandas_categorical:[[["),
    "a NUL": lambda whole: whole.replace("leaf_value=", "leaf_value=\0", 1),
    "no text": lambda _: "",
    "another text": lambda _: "tree\n" * 100,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_malformed_text_is_rejected(name: str) -> None:
    changed = CHANGES[name](text())
    assert changed != text()
    with pytest.raises(RankerGrammarError):
        check_ranker_text(changed)
    with pytest.raises(UnusableRankerError, match=r"ranker\.txt"):
        Ranker(changed)


def test_a_text_with_any_byte_changed_ends_no_process() -> None:
    dice, whole = random.Random(5), text()
    accepted = 0
    for _ in range(300):
        place = dice.randrange(len(whole))
        changed = whole[:place] + dice.choice("0 9-e.=\n:[") + whole[place + 1 :]
        try:
            Ranker(changed)
        except UnusableRankerError:
            continue
        accepted += 1
    # One digit for another is a model, too.
    assert accepted > 0


def test_a_deep_tree_is_rejected() -> None:
    leaves = 3000
    nodes = leaves - 1
    chain = {
        "num_leaves": str(leaves),
        "split_feature": " ".join(["0"] * nodes),
        "split_gain": " ".join(["1"] * nodes),
        "threshold": " ".join(["0"] * nodes),
        "decision_type": " ".join(["2"] * nodes),
        "left_child": " ".join([*map(str, range(1, nodes)), "-1"]),
        "right_child": " ".join(str(-number) for number in range(2, leaves + 1)),
        **dict.fromkeys(("leaf_value", "leaf_weight", "leaf_count"), " ".join(["1"] * leaves)),
        **dict.fromkeys(("internal_value", "internal_weight", "internal_count"), " ".join(["1"] * nodes)),
    }
    changed = text()
    for name, value in chain.items():
        changed = _line(name, lambda _, value=value: value)(changed)  # type: ignore[misc]
    with pytest.raises(RankerGrammarError, match="deeper than"):
        check_ranker_text(changed)
