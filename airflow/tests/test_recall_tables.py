"""Recall tables: each follows its definition, is computed in blocks, and is repeatable to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from pipeline.recall import behavior, nearest, tables
from pipeline.recall.behavior import behavior_neighbours, cosine_neighbours
from pipeline.recall.content import content_vectors
from pipeline.recall.ease import ease
from pipeline.recall.interest import interest_matrix
from pipeline.recall.nearest import top_k
from pipeline.recall.svd import item_factors, unit_rows
from pipeline.records import Records


@pytest.fixture(scope="module")
def interest() -> sparse.csr_array:
    """60 users, 25 items; item 24 has no user, item 23 one."""
    dense = (np.random.default_rng(3).random((60, 25)) < 0.2).astype(np.float32)
    dense[:, 23:] = 0
    dense[5, 23] = 1
    return sparse.csr_array(dense)


def test_ease_is_the_closed_form(interest: sparse.csr_array) -> None:
    dense = interest.toarray().astype(np.float64)
    inverse = np.linalg.inv(dense.T @ dense + 20 * np.eye(25))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(ease(interest, 20), expected, atol=1e-5)


def test_cosine_neighbours_are_the_cosines_in_order(
    interest: sparse.csr_array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behavior, "_ROWS_PER_BLOCK", 7)
    dense = interest.toarray()
    norms = np.linalg.norm(dense, axis=0)
    cosine = dense.T @ dense / np.maximum(np.outer(norms, norms), 1e-9)
    np.fill_diagonal(cosine, 0)
    found = cosine_neighbours(interest, 5)
    for item in range(25):
        expected = np.sort(cosine[item][cosine[item] > 0])[::-1][:5]
        np.testing.assert_allclose(found.scores[item][: len(expected)], expected, rtol=1e-5)
        assert (found.items[item][len(expected) :] == -1).all()
        for neighbour, score in zip(found.items[item], found.scores[item], strict=True):
            assert neighbour == -1 or cosine[item, neighbour] == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("limit", [12_000, 5], ids=["EASE", "cosine"])
def test_behaviour_neighbours_are_positions_and_leave_out_items_of_fewer_than_two_users(
    interest: sparse.csr_array, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behavior, "MAX_EASE_ITEMS", limit)
    found = behavior_neighbours(interest[:, ::-1], 6)
    assert (found.items[[0, 1]] == -1).all()
    assert not np.isin([0, 1], found.items).any()
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert (found.items[2:, 0] >= 0).all()


@given(st.integers(1, 12), st.integers(1, 14), st.integers(0, 10_000))
def test_top_k_is_the_head_of_a_stable_sort_whatever_the_block(n: int, k: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(-2, 4, (n, n)).astype(np.float32)
    found = top_k(n, n, lambda start, stop: scores[start:stop].copy(), k)
    for row in range(n):
        others = [column for column in range(n) if column != row and scores[row, column] > 0]
        expected = sorted(others, key=lambda column: -scores[row, column])
        kept = found.items[row][found.items[row] >= 0].tolist()
        assert [scores[row, column] for column in kept] == [scores[row, column] for column in expected[:k]]
        assert len(set(kept)) == len(kept)
        assert row not in kept


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit_rows(np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32))
    whole = nearest.nearest(vectors, 10)
    monkeypatch.setattr(nearest, "_CELLS_PER_BLOCK", 500)
    np.testing.assert_array_equal(nearest.nearest(vectors, 10).items, whole.items)


def test_factors_span_what_an_exact_svd_spans() -> None:
    rng = np.random.default_rng(1)
    low = (rng.random((80, 4)) @ rng.random((4, 30))).astype(np.float32)
    factors = item_factors(sparse.csr_array(low), 4, seed=0)
    _, values, vectors = np.linalg.svd(low, full_matrices=False)
    exact = vectors[:4].T * np.sqrt(values[:4])
    np.testing.assert_allclose(factors @ factors.T, exact @ exact.T, atol=1e-2)
    np.testing.assert_array_equal(item_factors(sparse.csr_array(low), 4, seed=0), factors)


def test_rows_are_of_length_one_or_zero() -> None:
    rows = unit_rows(np.array([[3, 4], [0, 0], [1e-9, 0]], np.float32))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 0, 0], atol=1e-6)


def with_texts(records: Records, titles: list[str], tags: list[list[str]]) -> Records:
    from dataclasses import replace

    kept = records.with_datasets(np.arange(len(titles)))
    return replace(kept, catalogue=replace(kept.catalogue, titles=titles, tags=tags), descriptions=[None] * len(titles))


def test_texts_with_common_words_are_similar_and_one_without_has_no_neighbours(records: Records) -> None:
    titles = ["bus gps traces", "bus timetable", "rain radar", "rain gauge", "上海公交数据", "北京公交数据", "zqx1"]
    vectors = content_vectors(with_texts(records, titles, [[] for _ in titles]), 42)
    near = vectors @ vectors.T
    assert near[0, 1] > 0.3 > abs(near[0, 2])
    assert near[2, 3] > 0.3
    assert near[4, 5] > 0.5
    assert not vectors[6].any()


def test_titles_without_a_common_word_have_no_neighbours(records: Records) -> None:
    vectors = content_vectors(with_texts(records, ["one", "two", "three"], [[], [], []]), 42)
    assert vectors.shape[0] == 3
    assert not vectors.any()
    assert (tables.content_neighbours(vectors).items == -1).all()


def test_interest_is_once_per_user_and_dataset(records: Records) -> None:
    matrix = interest_matrix(records)
    assert matrix.max() == 1
    assert matrix.nnz == len({*zip(records.user.tolist(), records.item.tolist(), strict=True)})


def test_tables_repeat_to_the_bit(records: Records) -> None:
    content = tables.content_neighbours(content_vectors(records, 42))
    first, again = (tables.build_tables(records, content, 42) for _ in range(2))
    for name in ("behavior", "content", "vector", "transition"):
        for before, after in zip(getattr(first, name), getattr(again, name), strict=True):
            np.testing.assert_array_equal(before, after)
