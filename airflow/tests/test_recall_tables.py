"""Recall tables: each follows its definition, is computed in blocks, and is repeatable to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pipeline.recall import tables, top_k
from pipeline.recall.behavior import REGULARISATION, behavior_neighbours, cosine_neighbours
from pipeline.recall.content import content_vectors
from pipeline.recall.dense import DENSE, DenseLimits
from pipeline.recall.ease import ease
from pipeline.recall.interest import interest_matrix
from pipeline.recall.svd import item_factors, unit_rows
from pipeline.recall.top_k import nearest, top_k_of_gram, top_k_of_product
from pipeline.records import Records
from ranking.recall import Neighbours


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


def test_cosine_neighbours_are_the_cosines_in_order(interest: sparse.csr_array) -> None:
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


@pytest.mark.parametrize("limits", [DENSE, DenseLimits(all=5, popular=4)], ids=["EASE", "EASE and cosine"])
def test_behaviour_neighbours_are_positions_and_leave_out_items_of_fewer_than_two_users(
    interest: sparse.csr_array, limits: DenseLimits
) -> None:
    found = behavior_neighbours(interest[:, ::-1], 6, limits)
    assert (found.items[[0, 1]] == -1).all()
    assert not np.isin([0, 1], found.items).any()
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert (found.items[2:, 0] >= 0).all()


def test_past_the_limit_ease_is_between_the_most_popular_and_scaled_cosine_elsewhere(
    interest: sparse.csr_array,
) -> None:
    active = interest[:, :23]
    popular = np.sort(np.argsort(-active.sum(axis=0), kind="stable")[:8])
    weights = np.maximum(ease(sparse.csr_array(active[:, popular]), REGULARISATION), 0)
    unit = active.toarray() / np.linalg.norm(active.toarray(), axis=0)
    expected = unit.T @ unit
    np.fill_diagonal(expected, 0)
    expected *= weights.sum() / expected[popular].sum()
    expected[np.ix_(popular, popular)] = weights
    found = behavior_neighbours(interest, 23, DenseLimits(all=20, popular=8))
    dense = np.zeros((25, 25))
    for item, (near, scores) in enumerate(zip(found.items, found.scores, strict=True)):
        dense[item, near[near >= 0]] = scores[near >= 0]
    np.testing.assert_allclose(dense[:23, :23], expected, rtol=1e-4, atol=1e-7)
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_without_pairs_of_popular_items_the_others_keep_their_cosines() -> None:
    """The popular ones exclude one another: each user has one of four, and three of the others."""
    rng = np.random.default_rng(1)
    dense = np.zeros((200, 24), np.float32)
    for user in dense:
        user[[rng.integers(4), *(4 + rng.choice(20, 3, replace=False))]] = 1
    interest = sparse.csr_array(dense)
    found, cosine = behavior_neighbours(interest, 20, DenseLimits(all=20, popular=4)), cosine_neighbours(interest, 20)
    np.testing.assert_array_equal(found.items, cosine.items)
    np.testing.assert_array_equal(found.scores, cosine.scores)


Listed = list[list[tuple[int, float]]]


def best_columns(scores: np.ndarray, k: int, least: float = 0.0) -> Listed:
    """Return the `k` best other columns of each row above `least`, by a stable sort."""
    rows = []
    for place, row in enumerate(scores.tolist()):
        others = [(column, score) for column, score in enumerate(row) if column != place and score > least]
        rows.append(sorted(others, key=lambda entry: -entry[1])[:k])
    return rows


def listed(found: Neighbours) -> Listed:
    """Return what stands in each row before the padding, after which nothing stands."""
    pairs = zip(found.items.tolist(), found.scores.tolist(), strict=True)
    rows = [[*zip(items, scores, strict=True)] for items, scores in pairs]
    kept = [[entry for entry in row if entry[0] >= 0] for row in rows]
    assert all(row[len(each) :] == [(-1, 0.0)] * (len(row) - len(each)) for row, each in zip(rows, kept, strict=True))
    return kept


@settings(max_examples=50, deadline=None)  # the first example compiles
@given(st.integers(1, 150), st.integers(1, 20), st.integers(0, 10_000))
def test_top_k_is_the_head_of_a_stable_sort(n: int, k: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(-2, 4, (n, n)).astype(np.float32)
    assert listed(top_k.top_k(scores, k)) == best_columns(scores, k)


@settings(max_examples=50, deadline=None)  # the first example compiles
@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 10_000))
def test_top_k_of_a_sparse_product_is_that_of_the_dense_one(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = (rng.integers(1, 4, (n, n)) * (rng.random((n, n)) < 0.2) for _ in range(2))
    found = top_k_of_product(*(sparse.csr_array(each.astype(np.float32)) for each in (left, right)), k)
    assert listed(found) == best_columns((left @ right).astype(np.float32), k)


@settings(max_examples=50, deadline=None)  # the first example compiles
@given(st.integers(1, 150), st.integers(1, 20), st.integers(0, 10_000))
def test_top_k_of_a_gram_matrix_is_that_of_the_dense_one(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Products of such numbers are exact, and some are negative.
    matrix = (rng.integers(-1, 4, (30, n)) * (rng.random((30, n)) < 0.2)).astype(np.float32)
    assert listed(top_k_of_gram(sparse.csr_array(matrix), k)) == best_columns(matrix.T @ matrix, k)


@settings(max_examples=50, deadline=None)  # the first example compiles
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 10_000))
def test_nearest_are_the_largest_cosines_whatever_the_block(n: int, k: int, seed: int) -> None:
    # Sums of such numbers are exact, so equal cosines are equal to the bit.
    vectors = np.random.default_rng(seed).integers(-2, 3, (n, 3)).astype(np.float32) / 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k, "_ROWS_PER_BLOCK", 7)
        assert listed(nearest(vectors, k, 0.25)) == best_columns(vectors @ vectors.T, k, 0.25)


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
