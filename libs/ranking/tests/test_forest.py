"""Bit masks give bit-equal scores to LightGBM's, or reject the model."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from contracts.features import FEATURES, TRAINED_FEATURES
from ranking.engine import Engine, RankingQuery
from ranking.features import feature_matrix
from ranking.forest import MAX_LEAVES, Forest, UnrepresentableError
from ranking.ranker import Ranker, feature_names
from ranking.testing import Size, tiny_contents

WIDTH = 6
NAMES = [feature.name for feature in FEATURES]
# The columns of a new ranker.
TRAINED = [NAMES.index(feature.name) for feature in TRAINED_FEATURES]


@cache
def booster(**changes: Any) -> lgb.Booster:
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(3000, WIDTH))
    rows[:, 1] = rng.integers(0, 4, len(rows))
    rows[:, 2] *= 1e30
    rows[:, 3] = np.where(rng.random(len(rows)) < 0.2, np.nan if changes.get("use_missing") else 0.0, rows[:, 3])
    target = np.nan_to_num(rows[:, 0] * rows[:, 1] + np.sin(rows[:, 3]) + rows[:, 4]) + rng.normal(0, 0.1, len(rows))
    parameters = {"objective": "regression", "num_leaves": 31, "use_missing": False, "verbosity": -1, "num_threads": 1}
    parameters |= changes
    if parameters["objective"] == "binary":
        target = (target > 0).astype(float)
    category = [1] if parameters.pop("category", False) else "auto"
    return lgb.train(parameters, lgb.Dataset(rows, target, categorical_feature=category), num_boost_round=25)


@cache
def forest(**changes: Any) -> Forest:
    return Forest(booster(**changes), np.arange(WIDTH), WIDTH)


def thresholds(model: lgb.Booster) -> list[float]:
    """The float32 values at and beside every split: where a comparison could go wrong."""
    splits = model.trees_to_dataframe()["threshold"].dropna().to_numpy().astype(np.float32)
    return sorted({float(value) for at in splits for value in (at, np.nextafter(at, np.float32(np.inf)))})


SPECIAL = [0.0, -0.0, 1e-36, -1e-36, float("inf"), float("-inf"), float("nan"), 3.4e38, -3.4e38]
VALUES = st.one_of(st.floats(width=32), st.sampled_from(SPECIAL), st.sampled_from(thresholds(booster())))


@settings(max_examples=300, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 40), st.just(WIDTH)), elements=VALUES))
@pytest.mark.parametrize("leaves", [1, 2, 31, 32, 33, 64])
def test_any_float32_row_gets_lightgbms_score(leaves: int, rows: NDArray[np.float32]) -> None:
    changes = {"num_leaves": max(leaves, 2)} | ({"min_gain_to_split": 1e12} if leaves == 1 else {})
    expected = booster(**changes).predict(rows, num_threads=1)
    np.testing.assert_array_equal(forest(**changes).scores(rows), expected)


def test_rows_of_real_queries_get_lightgbms_scores() -> None:
    engine = Engine(tiny_contents(size=Size(trees=100, leaves=31)))
    model = lgb.Booster(model_str=engine.contents.ranker_text)
    for anchor in range(40):
        found = engine.recall(RankingQuery(anchor))
        rows = engine.contents.item_rows[found.items]
        matrix = feature_matrix(found, rows, engine.contents.table, anchor=anchor, user=RankingQuery().user)
        np.testing.assert_array_equal(engine.ranker.scores(matrix), model.predict(matrix[:, TRAINED], num_threads=1))
    assert engine.ranker.method == "bit masks"


_WITHOUT_AVX512 = """
import sys, lightgbm, numpy
from ranking.forest import Forest
from ranking.lanes import CAN_ADD
folder = sys.argv[1]
booster = lightgbm.Booster(model_file=f"{folder}/ranker.txt")
rows = numpy.load(f"{folder}/rows.npy")
numpy.save(f"{folder}/scores.npy", Forest(booster, numpy.arange(rows.shape[1]), rows.shape[1]).scores(rows))
print(CAN_ADD)
"""


def test_a_cpu_with_fewer_features_gives_the_same_scores(tmp_path: Path) -> None:
    rows = np.random.default_rng(5).normal(size=(300, WIDTH)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    booster().save_model(tmp_path / "ranker.txt")
    # Numba compiles as for an x86-64 of 2003, or the like.
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    command = (sys.executable, "-c", _WITHOUT_AVX512, str(tmp_path))
    can_add = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120).stdout
    assert can_add == "False\n"
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), booster().predict(rows, num_threads=1))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"use_missing": True}, "missing values"),
        ({"use_missing": True, "zero_as_missing": True}, "missing values"),
        ({"category": True}, "category"),
        ({"num_leaves": MAX_LEAVES + 40}, "leaves"),
        ({"objective": "binary"}, "objective"),
        ({"reg_sqrt": True}, "objective"),
        ({"linear_tree": True}, "linear"),
    ],
)
def test_models_that_bit_masks_cannot_express_are_rejected(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(UnrepresentableError, match=why):
        forest(**changes)


def test_a_rejected_model_is_ranked_by_lightgbm_and_says_so() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((500, len(FEATURES))).astype(np.float32)
    data = lgb.Dataset(rows, rows[:, 0].copy(), feature_name=[feature.name for feature in FEATURES])
    model = lgb.train({"num_leaves": 90, "min_data_in_leaf": 2, "verbosity": -1, "use_missing": False}, data, 5)
    ranker = Ranker(model.model_to_string())
    assert ranker.method == "LightGBM: a tree of 90 leaves; the maximum is 64"
    np.testing.assert_array_equal(ranker.scores(rows), model.predict(rows))


@pytest.mark.parametrize(("leaves", "method"), [(31, "bit masks"), (90, "LightGBM: a tree of 90 leaves")])
@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_a_ranker_with_fewer_features_in_another_order_gives_the_same_scores(
    leaves: int, method: str, order: str
) -> None:
    rng = np.random.default_rng(3)
    rows = rng.random((600, len(FEATURES))).astype(np.float32)
    columns = np.arange(len(FEATURES))[::-2] if order == "reversed" else rng.permutation(len(FEATURES))[:20]
    own = rows[:, columns]
    names = [NAMES[column] for column in columns]
    target = own[:, 0] * own[:, 1] + np.sin(7 * own[:, 2]) - own[:, -1]
    settings = {"num_leaves": leaves, "min_data_in_leaf": 2, "verbosity": -1, "use_missing": False, "num_threads": 1}
    model = lgb.train(settings, lgb.Dataset(own, target, feature_name=names), 15)
    ranker = Ranker(model.model_to_string())
    assert ranker.method.startswith(method)
    assert feature_names(model.model_to_string()) == names
    np.testing.assert_array_equal(ranker.scores(rows), model.predict(own, num_threads=1))
    shares = ranker.contributions(rows[:50])
    np.testing.assert_array_equal(
        shares[:, [*columns, len(FEATURES)]], np.asarray(model.predict(own[:50], pred_contrib=True))
    )
    others = np.setdiff1d(np.arange(len(FEATURES)), columns)
    assert not shares[:, others].any()
    changed = rows.copy()
    changed[:, others] = rng.random((len(rows), len(others)))
    np.testing.assert_array_equal(ranker.scores(changed), ranker.scores(rows))
