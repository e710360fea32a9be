"""Packed user state: any history survives packing, and merging follows its rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.user_blob import MAX_LIVE, History, LiveHistory, MalformedBlobError, UserBlob

ROWS = st.lists(st.tuples(st.integers(1, 2**63 - 1), st.integers(0, 2**32 - 1), st.integers(0, 4)), max_size=40)
FEW_DATASETS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 50), st.integers(0, 4)), max_size=40)
FLOATS = st.lists(st.floats(width=32, allow_nan=False), max_size=8)


def history(rows: list[tuple[int, int, int]]) -> History:
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    return History(np.array(columns[0], np.int64), np.array(columns[1], np.int64), np.array(columns[2], np.uint8))


def rows_of(found: History) -> list[tuple[int, int, int]]:
    return list(zip(found.ids.tolist(), found.ts.tolist(), found.types.tolist(), strict=True))


@given(FLOATS, ROWS)
def test_a_user_blob_survives_packing(features: list[float], rows: list[tuple[int, int, int]]) -> None:
    read = UserBlob.unpack(UserBlob(np.array(features, np.float32), history(rows)).pack())
    assert read.features.tolist() == features
    assert rows_of(read.history) == rows


@given(st.integers(0, 2**64 - 1), ROWS)
def test_a_live_history_survives_packing(sequence: int, rows: list[tuple[int, int, int]]) -> None:
    read = LiveHistory.unpack(LiveHistory(sequence, history(rows)).pack())
    assert (read.sequence, rows_of(read.history)) == (sequence, rows)


def test_arrays_are_of_one_kind_whether_read_or_merged() -> None:
    """Compiled loops are compiled once for each kind, in the middle of a request if need be."""
    made = history([(1, 10, 1), (2, 5, 2)])
    read = History.unpack(made.packed())
    for found in (read, read.merge(read), History()):
        assert [array.flags.writeable for array in (found.ids, found.ts, found.types)] == [True] * 3


@given(FEW_DATASETS, st.integers(1, 5))
def test_a_history_keeps_per_dataset_the_newest_time_and_the_strongest_type(
    rows: list[tuple[int, int, int]], limit: int
) -> None:
    expected = [
        (dataset, max(ts for i, ts, _ in rows if i == dataset), max(kind for i, _, kind in rows if i == dataset))
        for dataset in {dataset for dataset, _, _ in rows}
    ]
    expected.sort(key=lambda row: (-row[1], row[0]))
    raw = history(rows)
    assert rows_of(History.build(raw.ids, raw.ts, raw.types, limit)) == expected[:limit]


@given(FEW_DATASETS, FEW_DATASETS)
def test_merging_is_building_from_both(old: list[tuple[int, int, int]], new: list[tuple[int, int, int]]) -> None:
    raw, long_term, live = history(old + new), history(old), history(new)
    long_term = History.build(long_term.ids, long_term.ts, long_term.types)
    live = History.build(live.ids, live.ts, live.types)
    assert rows_of(long_term.merge(live)) == rows_of(History.build(raw.ids, raw.ts, raw.types))


def test_appending_to_a_live_history_counts_on_and_cuts_the_oldest() -> None:
    live = LiveHistory()
    for number in range(1, MAX_LIVE + 6):
        live = live.append(np.array([number]), np.array([1000 + number]), np.array([2], np.uint8))
    assert (live.sequence, len(live.history)) == (MAX_LIVE + 5, MAX_LIVE)
    assert live.history.ids[[0, -1]].tolist() == [MAX_LIVE + 5, 6]


def test_after_the_last_sequence_number_the_first_comes_again() -> None:
    live = LiveHistory(2**64 - 1).append(np.array([1]), np.array([1000]), np.array([2], np.uint8))
    assert LiveHistory.unpack(live.pack()).sequence == 0


WHOLE = UserBlob(np.array([1.0, 2.0], np.float32), history([(1, 2, 3), (4, 5, 1)])).pack()


@pytest.mark.parametrize("data", [WHOLE[:length] for length in range(len(WHOLE))] + [WHOLE + b"x", b"U2" + WHOLE[2:]])
def test_a_user_blob_that_is_cut_long_or_foreign_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedBlobError):
        UserBlob.unpack(data)


@pytest.mark.parametrize("data", [b"", b"L1", WHOLE, LiveHistory(1, history([(1, 2, 3)])).pack()[:-1]])
def test_a_live_history_that_is_cut_or_foreign_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedBlobError):
        LiveHistory.unpack(data)


@given(st.binary(max_size=64))
def test_no_bytes_do_anything_but_be_read_or_be_malformed(data: bytes) -> None:
    for reader in (UserBlob.unpack, LiveHistory.unpack):
        try:
            found = reader(data)
        except MalformedBlobError:
            continue
        assert found.pack() == data
