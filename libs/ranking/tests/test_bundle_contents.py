"""A bundle's contents are read as they were written; damaged files are named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranking.bundle import UnusableBundleError, load, save
from ranking.engine import Engine
from ranking.golden import GoldenRequest
from ranking.testing import Size, tiny_contents
from ranking.verification import GoldenMismatchError, verify


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a small bundle."""
    save(tiny_contents(size=Size(60)), tmp_path)
    return tmp_path


def test_contents_come_back_bit_for_bit(folder: Path) -> None:
    made, read = tiny_contents(size=Size(60)), load(folder)
    np.testing.assert_array_equal(made.item_rows, read.item_rows)
    for name in ("content", "provider", "log_price"):
        np.testing.assert_array_equal(getattr(made.table, name), getattr(read.table, name))
    for name in ("behavior", "content", "vector", "transition", "popular", "popular_30d"):
        for before, after in zip(getattr(made.recall, name), getattr(read.recall, name), strict=True):
            np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(made.precomputed.items, read.precomputed.items)
    assert (made.ranker_text, made.trending, made.golden) == (read.ranker_text, read.trending, read.golden)
    assert (made.recall_settings, read.precomputed_error) == (read.recall_settings, None)
    assert list(made.catalogue.titles) == list(read.catalogue.titles)


FILES = (
    "items.parquet",
    "item_rows.npy",
    "content.npy",
    "provider.npy",
    "behavior_items.npy",
    "vector_scores.npy",
    "popular_items.npy",
    "transition_items.npy",
    "transition_scores.npy",
    "popular_30d_items.npy",
    "popular_30d_scores.npy",
    "trending.json",
    "recall.json",
    "ranker.txt",
    "golden.json",
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"], ids=["missing", "foreign"])
def test_a_file_that_is_missing_or_foreign_is_named(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(UnusableBundleError, match=name.replace(".", r"\.")):
        load(folder)


@pytest.mark.parametrize("name", [name for name in FILES if name != "ranker.txt"])
def test_a_file_that_is_cut_short_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:20])
    with pytest.raises(UnusableBundleError, match=name.replace(".", r"\.")):
        load(folder)


def test_an_array_of_the_wrong_shape_or_type_is_named(folder: Path) -> None:
    np.save(folder / "provider.npy", np.zeros(59, np.int32))
    with pytest.raises(UnusableBundleError, match=r"provider\.npy: int32 \(59,\), expected int32 \(60,\)"):
        load(folder)
    np.save(folder / "provider.npy", np.zeros(60, np.int64))
    with pytest.raises(UnusableBundleError, match=r"provider\.npy: int64"):
        load(folder)


def test_item_features_of_another_width_than_the_rankers_are_named(folder: Path) -> None:
    rows = np.load(folder / "item_rows.npy")
    np.save(folder / "item_rows.npy", rows[:, :10])
    with pytest.raises(UnusableBundleError, match=r"item_rows\.npy: float32 \(60, 10\), expected float32 \(60, 17\)"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("behavior_items", 60),
        ("content_items", -2),
        ("vector_items", 10**6),
        ("popular_items", -1),
        ("transition_items", 60),
        ("popular_30d_items", 60),
    ],
)
def test_a_position_outside_the_catalogue_is_named(folder: Path, name: str, position: int) -> None:
    array = np.load(folder / f"{name}.npy")
    array[3] = position
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(UnusableBundleError, match=rf"{name}\.npy: position {position} in a catalogue of 60"):
        load(folder)


@pytest.mark.parametrize("dataset_id", [0, 2, None], ids=["descends", "twice", "missing"])
def test_datasets_out_of_order_are_named(folder: Path, dataset_id: int | None) -> None:
    table = pq.read_table(folder / "items.parquet")
    ids = [1, 2, dataset_id, *range(4, len(table) + 1)]
    pq.write_table(table.set_column(0, "dataset_id", pa.array(ids, pa.int64())), folder / "items.parquet")
    with pytest.raises(UnusableBundleError, match=r"items\.parquet: dataset_id 2.* must ascend"):
        load(folder)


def test_datasets_that_lie_as_far_apart_as_they_can_are_in_order(folder: Path) -> None:
    table = pq.read_table(folder / "items.parquet")
    ids = [-(2**63), *range(2, len(table)), 2**63 - 1]
    pq.write_table(table.set_column(0, "dataset_id", pa.array(ids, pa.int64())), folder / "items.parquet")
    assert load(folder).catalogue.position(2**63 - 1) == len(table) - 1


def test_a_pickled_array_is_not_loaded(folder: Path) -> None:
    np.save(folder / "provider.npy", np.array([print] * 60, dtype=object), allow_pickle=True)
    with pytest.raises(UnusableBundleError, match=r"provider\.npy"):
        load(folder)


def test_without_its_precomputed_lists_a_bundle_still_loads_and_says_why(folder: Path) -> None:
    (folder / "precomputed_items.npy").write_bytes(b"")
    contents = load(folder)
    assert contents.precomputed.items.shape == (60, 0)
    assert "precomputed_items.npy" in str(contents.precomputed_error)
    assert verify(Engine(contents)) == 10


@pytest.mark.parametrize("change", ["order", "score", "dataset"])
def test_a_changed_answer_is_found(change: str) -> None:
    contents = tiny_contents(size=Size(60))
    last: GoldenRequest = contents.golden[-1]
    changed = {
        "order": last.model_copy(update={"expected_ids": last.expected_ids[::-1]}),
        "score": last.model_copy(update={"expected_scores": [score + 1e-3 for score in last.expected_scores]}),
        "dataset": last.model_copy(update={"dataset_id": 10**12}),
    }[change]
    with pytest.raises(GoldenMismatchError):
        verify(Engine(replace(contents, golden=[*contents.golden[:-1], changed])))


def test_another_ranker_fails_the_golden_requests() -> None:
    contents = tiny_contents(size=Size(60))
    with pytest.raises(GoldenMismatchError):
        verify(Engine(replace(contents, ranker_text=tiny_contents(seed=1, size=Size(60)).ranker_text)))
