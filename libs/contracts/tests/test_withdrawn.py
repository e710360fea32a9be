"""The list of withdrawn datasets: any list survives packing, and damage is seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import MAX_ID
from contracts.withdrawn import HEAD_BYTES, MAX_SEQUENCE, MalformedListError, WithdrawnList

IDS = st.lists(st.integers(1, MAX_ID), max_size=30)


@given(st.integers(0, MAX_SEQUENCE), IDS)
def test_a_list_survives_packing_in_order_and_each_id_once(sequence: int, ids: list[int]) -> None:
    read = WithdrawnList.unpack(WithdrawnList.of(sequence, ids).pack())
    assert (read.sequence, read.ids.tolist()) == (sequence, sorted(set(ids)))
    assert read.holds(ids)
    assert not read.holds([*ids, 1]) or 1 in ids


@given(IDS, IDS)
def test_two_lists_differ_in_their_head(one: list[int], other: list[int]) -> None:
    heads = [WithdrawnList.of(7, ids).pack()[:HEAD_BYTES] for ids in (one, other)]
    assert (heads[0] == heads[1]) == (set(one) == set(other))


@given(IDS, st.data())
def test_a_list_that_is_cut_or_changed_is_refused(ids: list[int], data: st.DataObject) -> None:
    packed = WithdrawnList.of(7, ids).pack()
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]
    with pytest.raises(MalformedListError):
        WithdrawnList.unpack(cut)
    with pytest.raises(MalformedListError):
        WithdrawnList.unpack(b"W2" + packed[2:])
    if ids:
        with pytest.raises(MalformedListError):
            WithdrawnList.unpack(packed[:-1] + bytes([packed[-1] ^ 1]))


def test_a_sequence_that_leaves_no_room_for_a_newer_list_is_refused() -> None:
    with pytest.raises(MalformedListError, match="no time"):
        WithdrawnList.unpack(WithdrawnList.of(2**64 - 1, [1]).pack())
