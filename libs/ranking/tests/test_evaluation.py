"""Evaluation parts: what is read is what was written, no damaged file is scored, and verdicts follow the intervals."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from contracts.bundle import BundleManifest, read_manifest
from ranking.bundle import load
from ranking.evaluation import (
    EvaluationPart,
    ModelVerdict,
    NotComparableError,
    UnusablePartError,
    align,
    compare,
    compare_gains,
    model_of_bundle,
    query_gains,
    read_part,
    write_part,
)
from ranking.evaluation.archive import MAX_UNPACKED_BYTES
from ranking.evaluation.comparison import judge
from ranking.item_stats import ItemStats
from ranking.recall import Neighbours
from ranking.testing import MODEL_END, Size, tiny_bundle, tiny_contents, tiny_part

SMALL = Size(datasets=80)


@pytest.fixture(scope="module")
def part() -> EvaluationPart:
    """A part of 80 datasets and 800 queries."""
    return tiny_part(size=SMALL)


@pytest.fixture
def path(part: EvaluationPart, tmp_path: Path) -> Path:
    """Its file."""
    write_part(part, tmp_path / "evaluation.zip")
    return tmp_path / "evaluation.zip"


def rewritten(path: Path, changes: dict[str, bytes | None]) -> Path:
    """Replace entries of a file; None removes one."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (entries | changes).items():
            if data is not None:
                archive.writestr(name, data)
    return path


def test_a_part_is_read_as_it_was_written(part: EvaluationPart, path: Path) -> None:
    found = read_part(path)
    assert found.manifest == part.manifest
    for name in part.queries.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found.queries, name), getattr(part.queries, name), err_msg=name)
    for name in ("created_at", "prices", "provider", "item", "ts", "types"):
        np.testing.assert_array_equal(getattr(found.items, name), getattr(part.items, name), err_msg=name)
    for here, there in zip(found.items.at_cut, part.items.at_cut, strict=True):
        np.testing.assert_array_equal(here, there)
    np.testing.assert_array_equal(found.twin.ids, part.twin.ids)
    np.testing.assert_array_equal(found.twin.tables.vector.items, part.twin.tables.vector.items)
    np.testing.assert_allclose(found.twin.tables.behavior.scores, part.twin.tables.behavior.scores, rtol=1e-3)
    np.testing.assert_allclose(found.twin.content, part.twin.content, atol=1e-3)
    assert found.twin.ranker_text == part.twin.ranker_text
    assert found.twin.trained_until == part.twin.trained_until


def test_the_same_part_gives_the_same_bytes(part: EvaluationPart, path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    assert write_part(read_part(path), again) == path.stat().st_size
    assert again.read_bytes() == path.read_bytes()


def test_statistics_that_continue_at_a_state_are_those_of_all_interactions(part: EvaluationPart) -> None:
    items, prices = part.items, part.items.prices.astype(np.float32)
    everything = ItemStats.restore(items.created_at, prices, items.at_cut)
    everything.add(items.item, items.ts, items.types)
    first = ItemStats.restore(items.created_at, prices, items.at_cut)
    first.add(items.item[:900], items.ts[:900], items.types[:900])
    rest = ItemStats.restore(items.created_at, prices, first.state())
    rest.add(items.item[900:], items.ts[900:], items.types[900:])
    datasets, at = np.arange(len(prices), dtype=np.int32), float(items.ts[-1] + 1)
    np.testing.assert_allclose(rest.rows(datasets, at), everything.rows(datasets, at), rtol=1e-6)


def test_a_model_is_compared_with_itself_without_any_difference(part: EvaluationPart) -> None:
    found = compare(part, part.twin, part.twin)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert found.verdict is ModelVerdict.NO_DIFFERENCE
    assert found.first > 0.1
    assert sum(scores.queries for scores in found.kinds.values()) == found.queries == 800


def test_a_model_whose_ranker_prefers_the_wrong_is_worse_and_the_other_way_round_better(part: EvaluationPart) -> None:
    tables = part.twin.tables
    content = Neighbours(tables.content.items[:, 15:], tables.content.scores[:, 15:])
    bad = replace(part.twin, tables=replace(tables, content=content, behavior=content, vector=content))
    assert compare(part, part.twin, bad).verdict is ModelVerdict.WORSE
    assert compare(part, bad, part.twin).verdict is ModelVerdict.BETTER


def popularity_ranker() -> str:
    """Return a ranker that prefers what is popular at the moment of a query."""
    rows = np.linspace(0, 8, 2000)[:, None]
    data = lgb.Dataset(rows, rows[:, 0].copy(), feature_name=["item_popularity_1d"])
    return str(lgb.train({"use_missing": False, "verbosity": -1, "num_threads": 1}, data, 60).model_to_string())


def test_what_happens_after_a_query_does_not_change_its_gain(part: EvaluationPart) -> None:
    middle = len(part.queries) // 2
    later = part.items.ts >= part.queries.at[middle]
    other = replace(part, items=replace(part.items, item=np.where(later, 3, part.items.item).astype(np.int32)))
    model = replace(part.twin, ranker_text=popularity_ranker())
    before, after = query_gains(part, model), query_gains(other, model)
    np.testing.assert_array_equal(before[: middle + 1], after[: middle + 1])
    assert (before[middle + 1 :] != after[middle + 1 :]).any()


def test_a_bundle_is_scored_like_the_twin_that_it_is(part: EvaluationPart, tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path, size=SMALL)
    manifest = read_manifest(folder).model_copy(update={"trained_until": MODEL_END - timedelta(days=1)})
    bundle = model_of_bundle(load(folder), manifest)
    np.testing.assert_array_equal(query_gains(part, bundle), query_gains(part, part.twin))
    assert compare(part, bundle, part.twin).difference == 0


def test_a_bundle_of_an_earlier_release_has_seen_what_its_data_window_contains(tmp_path: Path) -> None:
    manifest: BundleManifest = read_manifest(tiny_bundle(tmp_path, size=SMALL))
    assert manifest.trained_until is None
    assert model_of_bundle(tiny_contents(size=SMALL), manifest).trained_until == MODEL_END.timestamp() - 1


def test_a_model_that_has_seen_the_queries_is_rejected_with_both_times(part: EvaluationPart) -> None:
    late = replace(part.twin, trained_until=int(MODEL_END.timestamp()))
    with pytest.raises(
        NotComparableError, match=r"second model was trained until 2026-01-01T00:00:00Z, and .* begin at"
    ):
        compare(part, part.twin, late)


def test_a_model_of_another_marketplace_is_rejected(part: EvaluationPart) -> None:
    foreign = replace(part.twin, ids=part.twin.ids + 50)
    with pytest.raises(NotComparableError, match="the first model knows 38% of the queries' datasets"):
        compare(part, foreign, part.twin)


def test_an_aligned_model_has_the_neighbours_of_the_datasets_that_both_know(part: EvaluationPart) -> None:
    ids = np.concatenate([[1], part.twin.ids[::2], [10**15]])
    found = align(part.twin, ids)
    assert found.tables.content.items[0].max() == found.tables.content.items[-1].max() == -1
    assert not found.content[[0, -1]].any()
    row = 3
    before = part.twin.tables.content.items[2 * (row - 1)]
    kept = [part.twin.ids[item] for item in before if item >= 0 and item % 2 == 0]
    after = found.tables.content.items[row]
    assert [ids[item] for item in after if item >= 0] == kept
    assert (after[len(kept) :] == -1).all()


@pytest.mark.parametrize(
    ("queries", "interval", "tolerance", "verdict"),
    [
        (499, (-0.1, -0.05), 0.0, ModelVerdict.NOT_ENOUGH_QUERIES),
        (500, (-0.1, -0.05), 0.0, ModelVerdict.WORSE),
        (500, (-0.1, -0.05), 0.3, ModelVerdict.NO_DIFFERENCE),
        (500, (-0.01, 0.01), 0.0, ModelVerdict.NO_DIFFERENCE),
        (500, (0.01, 0.02), 0.0, ModelVerdict.BETTER),
        (500, (0.01, 0.02), 0.1, ModelVerdict.NO_DIFFERENCE),
    ],
)
def test_the_verdict_is_about_the_whole_interval_and_the_tolerance(
    queries: int, interval: tuple[float, float], tolerance: float, verdict: ModelVerdict
) -> None:
    assert judge(queries, 0.2, interval, tolerance) is verdict


def test_queries_of_one_user_count_as_one_observation(part: EvaluationPart) -> None:
    rng = np.random.default_rng(1)
    gains = np.repeat(rng.random(80), 10)
    other = np.repeat(rng.random(80), 10)
    few = replace(part, queries=replace(part.queries, user=np.repeat(np.arange(80, dtype=np.int32), 10)))
    alone, together = (compare_gains(each, (gains, other)) for each in (part, few))
    assert (together.users, alone.users) == (80, 800)
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


Change = Callable[[Path], object]


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def of_other_features(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    rewritten(path, {"manifest.json": json.dumps(manifest | {"feature_schema": "0" * 16}).encode()})


def of_a_later_format(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    rewritten(path, {"manifest.json": json.dumps(manifest | {"format": 2}).encode()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_off, "not a readable evaluation part"),
        (damaged, "not a readable evaluation part"),
        (lambda path: path.write_text("hello"), "not a readable evaluation part"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: rewritten(path, {"manifest.json": None}), "manifest.json is missing: not an evaluation part"),
        (lambda path: rewritten(path, {"manifest.json": b"{"}), "manifest.json: document"),
        (of_other_features, "feature_schema is 0000000000000000"),
        (of_a_later_format, "manifest.json: format: Input should be 1"),
        (lambda path: rewritten(path, {"answer.bin": None}), "answer.bin: missing"),
        (lambda path: rewritten(path, {"answer.bin": b"abc"}), "answer.bin: 3 bytes are no whole numbers"),
        (lambda path: rewritten(path, {"answer.bin": b"\xff" * 3200}), "answer.bin: a number is not within 0 … 79"),
        (lambda path: rewritten(path, {"history_counts.bin": b"\x33" * 800}), "a number is not within 0 … 50"),
        (lambda path: rewritten(path, {"hidden_counts.bin": b"\x01" * 3200}), "hidden.bin: 0 numbers, expected"),
        (lambda path: rewritten(path, {"vector_items.bin": b"\x55" * 9600}), "a position is not within -1 … 79"),
        (lambda path: rewritten(path, {"scaled.bin": b"\xff" * 2560}), "scaled.bin: a value is not a number"),
        (lambda path: rewritten(path, {"ids.bin": b"\x01" * 640}), "ids.bin: they must ascend"),
        (lambda path: rewritten(path, {"content.bin": bytes(80 * 257 * 2)}), "257 numbers a row, at most 256"),
        (lambda path: rewritten(path, {"vector_scores.bin": bytes(80 * 401 * 2)}), "401 numbers a row, at most 400"),
        (lambda path: rewritten(path, {"ranker.txt": b"\xff"}), "ranker.txt: "),
        (lambda path: rewritten(path, {"more.bin": bytes(MAX_UNPACKED_BYTES)}), "bytes when unpacked"),
    ],
)
def test_a_damaged_or_foreign_file_is_named_with_its_entry(path: Path, change: Change, message: str) -> None:
    change(path)
    with pytest.raises(UnusablePartError) as raised:
        read_part(path)
    assert str(path) in str(raised.value)
    assert message in str(raised.value)
