"""`pipeline explain`: which channels are on and why one falls back, queries, costs, and what was chosen."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import join, writing
from pipeline.config import PipelineConfig
from pipeline.explain import Explanation, describe, explain_run
from pipeline.explain.channels import ActiveDatasets, Channel, count_active, explain_channels
from pipeline.explain.costs import estimate_costs
from pipeline.explain.explanation import DataFacts, QueryCounts, WeightChoice
from pipeline.features.items import item_state
from pipeline.records import Records
from pipeline.settings import Settings
from pipeline.steps import RunInfo, StepState
from pipeline.train import TrainSettings
from ranking.features import ItemTable
from ranking.recall import RecallSettings

MANY, FEW = 12_001, 300
ORDER = {
    "name": "ranker",
    "comparison": {
        "queries": 1000,
        "simple_order": "popularity_3d",
        "simple": 0.15,
        "ranker": 0.2,
        "ranker_seen": 0.22,
        "low": 0.03,
        "high": 0.07,
        "linear": True,
        "trees": 150,
    },
}


@pytest.fixture(scope="module")
def items(records: Records) -> ItemTable:
    return item_state(records, 42).table


def channels_of(
    records: Records, items: ItemTable, active: ActiveDatasets, settings: RecallSettings | None = None
) -> dict[str, Channel]:
    return {each.channel: each for each in explain_channels(records, items, settings or RecallSettings(), active)}


def test_on_little_data_every_channel_is_on_and_its_method_is_named(records: Records, items: ItemTable) -> None:
    found = channels_of(records, items, count_active(records, 42))
    assert list(found) == list(RecallSettings().channel_sizes)
    assert {each.state for each in found.values()} == {"on"}
    assert (found["recent"].made_by, found["transition"].made_by) == ("EASE", "SLIT")


def test_past_the_size_of_a_matrix_its_channels_fall_back_and_say_why(records: Records, items: ItemTable) -> None:
    found = channels_of(records, items, ActiveDatasets(pairs=MANY, newest=FEW))
    assert {name for name, each in found.items() if each.state == "fallback"} == {"behavior", "history", "recent"}
    assert found["history"].made_by == "EASE between the 6,000 most popular, cosine similarity of other pairs"
    assert found["history"].reason == "12,001 datasets have two users; EASE alone is for up to 12,000"
    both = channels_of(records, items, ActiveDatasets(MANY, MANY))
    assert both["transition"].state == "fallback"
    assert both["transition"].made_by == "SLIT between the 6,000 most popular, counted transitions of other pairs"


def test_a_channel_is_off_by_its_size_and_empty_for_want_of_data(records: Records, items: ItemTable) -> None:
    sizes = RecallSettings().channel_sizes | {"vector": 0}
    no_text = items._replace(content=np.zeros_like(items.content))
    found = channels_of(records, no_text, ActiveDatasets(0, 0), RecallSettings(channel_sizes=sizes))
    assert (found["vector"].state, found["vector"].reason) == ("off", "its size is 0 in PIPELINE_CONFIG")
    assert (found["content"].state, found["content"].reason) == (
        "empty",
        "no dataset has a word in common with another",
    )
    assert (found["behavior"].state, found["behavior"].reason) == ("empty", "no dataset has two users")


def test_a_dataset_is_active_with_two_users(records: Records) -> None:
    rows = records.first_of_pair
    expected = sum(len(set(records.user[rows[records.item[rows] == item]])) >= 2 for item in np.unique(records.item))
    assert count_active(records, 42) == ActiveDatasets(expected, expected)


def test_more_queries_trees_and_datasets_cost_more_and_a_fallback_less_memory() -> None:
    settings = TrainSettings()
    base = estimate_costs(15_000, ActiveDatasets(1000, 1000), settings)
    more = estimate_costs(30_000, ActiveDatasets(1000, 1000), settings)
    assert more.train_mb > base.train_mb
    assert more.train_seconds == pytest.approx(2 * base.train_seconds, abs=1)
    assert estimate_costs(15_000, ActiveDatasets(1000, 1000), replace(settings, trees=400)).train_seconds > (
        base.train_seconds
    )
    assert estimate_costs(15_000, ActiveDatasets(12_000, 1000), settings).recall_mb > 5 * base.recall_mb
    fallback, largest = (ActiveDatasets(number, number) for number in (MANY, 6_000))
    assert estimate_costs(15_000, fallback, settings) == estimate_costs(15_000, largest, settings)


@pytest.fixture
def explained() -> Explanation:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Explanation(
        "nightly",
        "training",
        at,
        True,
        [StepState("train", "done", at, 12.0, "skipped")],
        PipelineConfig().model_dump(mode="json"),
        DataFacts(100, 50, 2000, at, at),
        [Channel("vector", 0, "off", "factors of the interactions", "its size is 0 in PIPELINE_CONFIG")],
        {},
        QueryCounts(40, 60, 32_000),
        estimate_costs(100, ActiveDatasets(50, 50), TrainSettings()),
        {"recent_ranks": WeightChoice(5.0, {"2": 0.1, "5": 0.2})},
        ORDER,
    )


def test_the_text_says_what_was_chosen_and_by_how_much(explained: Explanation) -> None:
    lines = list(describe(explained))
    assert "recent_ranks: 5 (nDCG@10 of the votes 2: 0.1000, 5: 0.2000)" in lines
    assert lines[-1] == (
        "order: the ranker (150 trees on top of a linear model), nDCG@10 0.2000 against 0.1500 of popularity_3d, "
        "on 1,000 queries that neither has seen (difference +0.0500, 95 % +0.0300 to +0.0700)"
    )
    simple = replace(explained, order=ORDER | {"name": "popularity_3d"})
    assert list(describe(simple))[-1].startswith(
        "order: popularity_3d, because the ranker is not ahead of it: nDCG@10 0.2000"
    )


def test_the_text_says_what_is_not_there_yet(explained: Explanation) -> None:
    begun = replace(explained, data=None, channels=(), queries=None, costs=None, history=None, order=None)
    lines = list(describe(begun))
    assert "data: not complete; the steps extract, quality and features make it" in lines
    assert lines[-1] == "order: not trained yet"
    refresh = list(describe(replace(begun, kind="refresh")))
    assert refresh[-1] == "a refresh trains nothing: it keeps the ranker and the shape of the model in service"


def test_of_a_run_of_an_earlier_release_only_the_data_is_left_out(clean_folder: Path, tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    run = str(tmp_path / "runs" / "nightly")
    with writing(join(run, "clean")) as folder, writing(join(run, "features")):
        for table in clean_folder.glob("*.parquet"):
            shutil.copy(table, folder)
    info = RunInfo(run_id="nightly", as_of=at, started_at=at, publish=False)
    found = explain_run(Settings(artifact_url=str(tmp_path)), run, info)
    assert found.document()["data_error"] == f"{run}/clean: made by an earlier release; repeat the step `quality`"
    lines = list(describe(found))
    assert any(line.startswith("quality ") for line in lines)
    assert lines[-2:] == [f"data: {found.data_error}", "order: not trained yet"]
