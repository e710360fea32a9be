"""The evaluation: its split leaks nothing, its metrics follow their definitions, and the stack beats the baselines."""

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.evaluate import STACK, evaluate
from pipeline.evaluate.baselines import baselines, top_lists
from pipeline.evaluate.metrics import score
from pipeline.evaluate.split import CORE, leave_last_out
from pipeline.features.items import item_state
from pipeline.importers.sources import ImportOptions, read_source
from pipeline.records import Records
from pipeline.settings import Settings
from pipeline.steps import EVALUATION, RunInfo, begin_run, load_metrics
from pipeline.train import TrainSettings
from ranking.diversity import DiversitySettings
from ranking.recall import RecallSettings


def test_in_the_core_users_and_datasets_have_five_of_each_other(records: Records) -> None:
    core = leave_last_out(records, 10_000, 42).records
    pairs = {*zip(core.user.tolist(), core.item.tolist(), strict=True)}
    users = np.bincount([user for user, _ in pairs])
    items = np.bincount([item for _, item in pairs], minlength=len(core.catalogue))
    assert users[users > 0].min() >= CORE
    assert items.min() >= CORE


def test_the_core_keeps_each_dataset_under_its_id(records: Records) -> None:
    split = leave_last_out(records, 10_000, 42)
    np.testing.assert_array_equal(split.records.catalogue.ids, records.catalogue.ids[split.kept])
    assert split.records.catalogue.titles[3] == records.catalogue.titles[split.kept[3]]


def test_each_users_last_new_dataset_is_held_out_with_all_interactions_of_the_user(records: Records) -> None:
    split = leave_last_out(records, 10_000, 42)
    core, train = split.records, split.train
    known = {*zip(train.user.tolist(), train.item.tolist(), strict=True)}
    users = core.user[split.test]
    assert len(users) == len(np.unique(core.user)) == len(np.unique(users))
    for row in split.test.tolist():
        user, item = int(core.user[row]), int(core.item[row])
        assert (user, item) not in known
        mine = core.rows_of(user)
        first_times = {int(core.item[r]): int(core.ts[r]) for r in mine[::-1].tolist()}
        assert first_times[item] == core.ts[row] == max(first_times.values())
    assert len(train) < len(core)


def test_a_large_test_is_cut_to_a_seeded_sample(records: Records) -> None:
    whole, cut, again = (leave_last_out(records, most, 42) for most in (10_000, 50, 50))
    assert len(cut.test) == 50
    assert set(cut.test.tolist()) < set(whole.test.tolist())
    np.testing.assert_array_equal(cut.test, again.test)


def test_metrics_of_lists_worked_out_by_hand() -> None:
    tops = np.array([[7, 1, 2], [1, 7, 2], [1, 2, -1], [3, 1, 2]], np.int32)
    content = np.zeros((10, 2), np.float32)
    content[[1, 2, 7]] = [[1, 0], [0.6, 0.8], [0, 1]]
    found = score(tops, np.array([7, 7, 7, 9], np.int32), content)
    assert found.ndcg == pytest.approx((1 + 1 / np.log2(3)) / 4)
    assert found.recall == 0.5
    assert found.coverage == pytest.approx(4 / 10)
    # Dataset 3 has no known content, so it is similar to none.
    three, two, unknown = (0.6 + 0.8) / 3, 0.6, 0.6 / 3
    assert found.similarity == pytest.approx((2 * three + two + unknown) / 4)


def test_a_pad_is_never_a_hit() -> None:
    assert score(np.full((2, 10), -1, np.int32), np.array([0, 1], np.int32), np.ones((5, 1), np.float32)).recall == 0.0


def test_baselines_rank_exactly_the_unseen_datasets() -> None:
    interest = sparse.csr_array((np.random.default_rng(0).random((40, 15)) < 0.4).astype(np.float32))
    users = np.arange(40, dtype=np.int32)
    for scorer in baselines(interest).values():
        for user, top in zip(users, top_lists(scorer, interest, users), strict=True):
            seen = interest[[user]].toarray()[0] > 0
            unseen = int((~seen).sum())
            assert len(set(top.tolist())) == len(top) == 10
            assert not seen[top[: min(10, unseen)]].any()


def test_popularity_is_the_number_of_users() -> None:
    interest = sparse.csr_array(np.array([[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]], np.float32))
    (scores,) = baselines(interest)["popularity"](interest[[0]])
    assert scores.tolist() == [3, 1, 2, 0]


def test_the_stack_beats_every_baseline_on_structured_data(records: Records) -> None:
    found = evaluate(
        records,
        item_state(records, 42).table,
        RecallSettings(),
        DiversitySettings(),
        TrainSettings(queries=800, trees=30),
    )
    assert found is not None
    ndcg = {name: result.ndcg for name, result in found.scores.items()}
    assert set(ndcg) == {STACK, "popularity", "itemknn", "ease"}
    assert ndcg[STACK] > max(ndcg["popularity"], ndcg["itemknn"], ndcg["ease"])
    assert ndcg["ease"] > ndcg["popularity"]


def test_data_without_a_core_is_not_evaluated(records: Records) -> None:
    few = records.only(np.arange(len(records)) < 30)
    assert evaluate(few, item_state(records, 42).table, RecallSettings(), DiversitySettings(), TrainSettings()) is None


def test_the_published_figures_of_movietweetings_are_reproduced(tmp_path: Path) -> None:
    """The baselines have their known scores on this split, and the stack has more than twice that of EASE."""
    if not (real := os.environ.get("REAL_DATA_DIR")):
        pytest.skip("REAL_DATA_DIR is not set: the tests on real data were left out")
    url = f"sqlite:///{tmp_path / 'business.db'}"
    engine = open_engine(url, "BUSINESS_DATABASE_URL")
    source = read_source("movietweetings", Path(real) / "movietweetings-100k", ImportOptions(datetime.now(UTC)))
    replace_content(engine, source.content)
    engine.dispose()
    settings = Settings(business_database_url=url, artifact_url=str(tmp_path / "artifacts"), database_url=None)
    now = datetime.now(UTC)
    run = begin_run(settings, RunInfo(run_id="measured", as_of=now, started_at=now, publish=False))
    for step in EVALUATION:
        step.run(settings, run)
    metrics = load_metrics(run)
    assert metrics["ndcg@10_popularity"] == pytest.approx(0.078, abs=0.002)
    assert metrics["ndcg@10_itemknn"] == pytest.approx(0.089, abs=0.002)
    assert metrics["ndcg@10_ease"] == pytest.approx(0.094, abs=0.002)
    assert metrics["ndcg@10"] > 2 * metrics["ndcg@10_ease"]
