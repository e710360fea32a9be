"""Rows by user, and the rows of pairs: equal to what sorting finds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.pairs import all_of_pairs, first_of_pairs, group_rows

USERS, ITEMS = 5, 4
PAIRS = st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1)), max_size=40)


def columns(pairs: list[tuple[int, int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    table = np.array(pairs, np.int32).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


@settings(deadline=None)  # the first example compiles
@given(PAIRS)
def test_a_group_has_its_rows_in_their_order(pairs: list[tuple[int, int]]) -> None:
    user, _ = columns(pairs)
    found = group_rows(user, USERS)
    for each in range(USERS):
        assert found.of(each).tolist() == np.flatnonzero(user == each).tolist()


@settings(deadline=None)  # the first example compiles
@given(PAIRS)
def test_the_first_row_of_each_pair_is_found(pairs: list[tuple[int, int]]) -> None:
    user, item = columns(pairs)
    expected = [row for row, pair in enumerate(pairs) if pair not in pairs[:row]]
    assert first_of_pairs(group_rows(user, USERS), item, ITEMS).tolist() == expected


@settings(deadline=None)  # the first example compiles
@given(PAIRS, st.data())
def test_all_rows_of_some_pairs_are_found(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    user, item = columns(pairs)
    some = data.draw(st.lists(st.integers(0, max(0, len(pairs) - 1)), max_size=len(pairs)))
    wanted = {pairs[row] for row in some}
    found = all_of_pairs(group_rows(user, USERS), user, item, np.array(some, np.int64), ITEMS)
    assert found.tolist() == [pair in wanted for pair in pairs]
