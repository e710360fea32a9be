"""A bundle's contents are read as they were written; damaged files are named."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.bundle.files import MAX_BYTES
from ranking.bundle import UnusableBundleError, load, save
from ranking.catalogue import MAX_ROW_GROUPS
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


@pytest.mark.parametrize("change", ["order", "score", "dataset", "scores"])
def test_a_changed_answer_is_found(change: str) -> None:
    contents = tiny_contents(size=Size(60))
    last: GoldenRequest = contents.golden[-1]
    changed = {
        "order": last.model_copy(update={"expected_ids": last.expected_ids[::-1]}),
        "score": last.model_copy(update={"expected_scores": [score + 1e-3 for score in last.expected_scores]}),
        "dataset": last.model_copy(update={"dataset_id": 10**12}),
        "scores": last.model_copy(update={"expected_scores": last.expected_scores[:-1]}),
    }[change]
    with pytest.raises(GoldenMismatchError):
        verify(Engine(replace(contents, golden=[*contents.golden[:-1], changed])))


def test_another_ranker_fails_the_golden_requests() -> None:
    contents = tiny_contents(size=Size(60))
    with pytest.raises(GoldenMismatchError):
        verify(Engine(replace(contents, ranker_text=tiny_contents(seed=1, size=Size(60)).ranker_text)))


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("recall.json", {"channel_sizes": {"behavior": 10**9}}, r"recall\.json: channel_sizes\.behavior"),
        ("recall.json", {"channel_sizes": {"behavior": -1}}, r"recall\.json: channel_sizes\.behavior"),
        ("recall.json", {"history_length": -1}, r"recall\.json: history_length"),
        ("recall.json", {"seed_items": 10**9}, r"recall\.json: seed_items"),
        ("recall.json", {"recent_ranks": 0}, r"recall\.json: recent_ranks"),
        ("trending.json", {"1h": [60]}, r"trending\.json: 1h: position 60 in a catalogue of 60"),
        ("trending.json", {"1h": [-1]}, r"trending\.json: 1h: position -1"),
        ("golden.json", {"history_ids": [101, 102]}, r"golden\.json: .*different lengths"),
        ("golden.json", {"user_features": [0.0] * 1000}, r"golden\.json: 0\.user_features"),
        ("golden.json", {"at": 2**62}, r"golden\.json: 0\.at"),
    ],
)
def test_values_that_compiled_code_would_believe_are_checked(
    folder: Path, name: str, change: dict[str, object], says: str
) -> None:
    found = json.loads((folder / name).read_bytes())
    if isinstance(found, list):
        found[0] |= change
    else:
        found |= change
    (folder / name).write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(UnusableBundleError, match=says):
        load(folder)


def test_json_that_is_too_large_is_not_read(folder: Path) -> None:
    with (folder / "trending.json").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(UnusableBundleError, match=r"trending\.json: larger than"):
        load(folder)


@pytest.mark.parametrize("name", ["title", "price", "tags"])
def test_a_catalogue_with_a_value_missing_is_rejected(folder: Path, name: str) -> None:
    table = pq.read_table(folder / "items.parquet")
    column = table.column_names.index(name)
    missing = pa.array([None, *table[name].to_pylist()[1:]], table.schema.field(name).type)
    pq.write_table(table.set_column(column, name, missing), folder / "items.parquet")
    with pytest.raises(UnusableBundleError, match=rf"items\.parquet: {name} is missing in 1 rows"):
        load(folder)


def test_texts_that_are_not_utf_8_are_rejected_when_they_are_loaded(folder: Path) -> None:
    path = folder / "items.parquet"
    table = pq.read_table(path)
    titles = pa.array(["zzzzzzzz", *table["title"].to_pylist()[1:]])
    changed = table.set_column(table.column_names.index("title"), "title", titles)
    pq.write_table(changed, path, compression="none", use_dictionary=False, write_statistics=False)
    path.write_bytes(path.read_bytes().replace(b"zzzzzzzz", b"\xff" * 8))
    with pytest.raises(UnusableBundleError, match=r"items\.parquet: .*UTF8"):
        load(folder)


def test_a_catalogue_that_declares_too_much_is_not_read(folder: Path) -> None:
    table = pq.read_table(folder / "items.parquet")
    pq.write_table(
        pa.concat_tables([table.slice(0, 1)] * (MAX_ROW_GROUPS + 1)), folder / "items.parquet", row_group_size=1
    )
    with pytest.raises(UnusableBundleError, match="row groups"):
        load(folder)


def test_every_file_that_is_written_is_one_of_a_bundle(folder: Path) -> None:
    optional = {"manifest.json", "own_columns.json", "own_columns.npy"}
    assert {path.name for path in folder.iterdir()} | optional == MAX_BYTES.keys()
