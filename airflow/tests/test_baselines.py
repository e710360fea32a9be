"""The simple models: an independent implementation gives the same scores by every protocol."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.evaluate.baselines import MAX_COLUMNS, Asked, active_columns, rank_baselines
from pipeline.evaluate.histories import histories_of
from pipeline.evaluate.queries import QuerySet, ask_at_cut, ask_before
from pipeline.evaluate.split import five_core, global_split, leave_last_out
from pipeline.recall.slit import slit
from pipeline.recall.top_k import best_of_rows
from pipeline.records import Records
from prove.evaluation import (
    first_pairs,
    largest_difference,
    pipeline_scores,
    read_movietweetings,
    unique_pairs,
)
from prove.independent_models import independent_scores

# Sums in another order, and ties.
SAME = 0.001
SHARE_OF_USERS = 0.2


def ranked(train: Records, queries: QuerySet, most: int = MAX_COLUMNS) -> Iterator[tuple[str, NDArray[np.int32]]]:
    """Yield the lists of each simple model."""
    for name, (tops,) in rank_baselines(train, [Asked(queries, histories_of(queries, 42))], 42, most):
        yield name, tops


def test_an_independent_implementation_gives_the_same_scores(records: Records) -> None:
    few = unique_pairs(records.only(records.user < 60))
    assert largest_difference(pipeline_scores(few), independent_scores(*first_pairs(few))) < SAME


def test_on_users_of_movietweetings_an_independent_implementation_agrees(tmp_path: Path) -> None:
    """By all three protocols; `make prove ONLY=evaluation` does it with all users, and the published figures."""
    if not (real := os.environ.get("REAL_DATA_DIR")):
        pytest.skip("REAL_DATA_DIR is not set: the tests on real data were left out")
    records = read_movietweetings(Path(real), tmp_path / "movietweetings")
    chosen = np.random.default_rng(42).random(len(records.user_ids)) < SHARE_OF_USERS
    some = records.only(chosen[records.user])
    assert largest_difference(pipeline_scores(some), independent_scores(*first_pairs(some))) < SAME


def test_slit_learns_the_direction() -> None:
    # All users take 0 and then 1; what follows 1 is unknown.
    user = np.repeat(np.arange(20, dtype=np.int32), 2)
    weights = slit(user, np.tile(np.array([0, 1], np.int32), 20), 2, past_ranks=4, next_ranks=2, regularisation=1)
    assert weights[0, 1] == pytest.approx(20 / 21)
    assert weights[1].tolist() == [0, 0]


def test_an_example_of_slit_ends_with_its_user() -> None:
    user, column = np.array([0, 0, 1, 1], np.int32), np.array([0, 1, 2, 3], np.int32)
    weights = slit(user, column, 4, past_ranks=4, next_ranks=2, regularisation=1)
    assert np.argwhere(weights > 0).tolist() == [[0, 1], [2, 3]]


def test_the_best_of_rows_are_those_of_a_stable_sort() -> None:
    rng = np.random.default_rng(3)
    scores = rng.integers(-3, 3, (200, 40)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    scores[rng.random(scores.shape) < 0.1] = -0.0
    order = np.argsort(-scores, axis=1, kind="stable")[:, :30]
    expected = np.where(np.isfinite(np.take_along_axis(scores, order, axis=1)), order, -1)
    np.testing.assert_array_equal(best_of_rows(scores, 30), expected)
    assert (best_of_rows(scores, 60)[:, 40:] == -1).all()


def test_past_the_largest_matrix_only_the_most_active_datasets_are_ranked(records: Records) -> None:
    core, _ = five_core(records)
    split = leave_last_out(core, 50, 42)
    columns, share = active_columns(split.train, 50)
    counts = np.bincount(split.train.item[split.train.first_of_pair], minlength=len(core.catalogue))
    assert len(columns) == 50
    assert counts[columns].min() >= np.delete(counts, columns).max()
    assert share == pytest.approx(counts[columns].sum() / counts.sum())
    for _, tops in ranked(split.train, ask_before(core, split.test, split.train), 50):
        assert np.isin(tops[tops >= 0], columns).all()


def test_no_simple_model_sees_what_came_after_the_query(records: Records) -> None:
    core, _ = five_core(records)
    split = global_split(core)
    rows = split.test[np.isin(core.user[split.test], split.train.user)][:40]
    later = core.ts >= core.ts[rows[-1]]
    scrambled = replace(core, item=np.where(later, core.item[::-1], core.item).astype(np.int32))
    asked = ask_before(core, rows, core)
    for (name, before), (_, after) in zip(
        ranked(split.train, asked),
        ranked(split.train, replace(asked, known=scrambled)),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after, err_msg=name)


def test_models_that_are_made_once_rank_each_set_of_queries_as_if_it_were_alone(records: Records) -> None:
    core, _ = five_core(records)
    split = global_split(core)
    known = split.test[split.of_known(core)]
    at_cut = ask_at_cut(core, split, np.unique(core.user[known]).astype(np.int64))
    sets = [at_cut, ask_before(core, known[:40], core)]
    together = rank_baselines(split.train, [Asked(queries, histories_of(queries, 42)) for queries in sets], 42)
    alone = [dict(ranked(split.train, queries)) for queries in sets]
    for name, found in together:
        for tops, own in zip(found, alone, strict=True):
            np.testing.assert_array_equal(tops, own[name], err_msg=name)
