"""`pipeline search`: what it may see, that it finds a planted improvement and keeps what is good, bounds, the file."""

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from conftest import END
from pipeline.business.content import Content
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.cli import main
from pipeline.config import PipelineConfig, load_config
from pipeline.errors import DataError, PipelineError
from pipeline.evaluate.split import five_core, global_split, leave_last_out
from pipeline.records import Records
from pipeline.search import Bounds, SearchResult, describe, fragment_of, load_source, search
from pipeline.search.source import Source
from pipeline.search.space import Space
from pipeline.search.trials import Trials
from pipeline.settings import Settings
from pipeline.steps import RunInfo, begin_run, run_step, step_of
from pipeline.steps.data import load_records

CHANNEL = "recall.channels.popular_30d"
# One small channel alone: with three candidates nothing can be found, with eighty much can.
SMALL: dict[str, Any] = {
    "recall": {"channels": dict.fromkeys(PipelineConfig().recall.channels, 0) | {"popular_30d": 3}},
    "history": {"half_lives_days": [30.0], "recent_ranks": [5.0]},
    "queries": {"most": 700, "negatives": 10},
    "ranker": {"trees": 1, "leaves": 4},
}


def config_of(*parameters: dict[str, Any], **values: Any) -> PipelineConfig:
    document = PipelineConfig().model_dump()
    for section, changes in SMALL.items():
        document[section] |= changes
    document["search"] = {"parameters": list(parameters)}
    return PipelineConfig.model_validate(document).with_values(values)


@dataclass(frozen=True)
class Shop:
    """A run whose data is there, and nothing else."""

    settings: Settings
    run: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def shop(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("search")
    environment = {
        "BUSINESS_DATABASE_URL": f"sqlite:///{folder / 'business.db'}",
        "ARTIFACT_URL": str(folder / "artifacts"),
    }
    settings = Settings(database_url=None, **{name.lower(): value for name, value in environment.items()})
    engine = open_engine(environment["BUSINESS_DATABASE_URL"], "X")
    replace_content(engine, content)
    engine.dispose()
    run = begin_run(settings, RunInfo(run_id="nightly", as_of=END, started_at=END, publish=False))
    for name in ("extract", "quality", "features"):
        run_step(settings, run, step_of(name))
    return Shop(settings, run, environment)


@pytest.fixture(scope="module")
def source(shop: Shop) -> Source:
    return load_source(shop.run, PipelineConfig(), 42)


def searched(source: Source, config: PipelineConfig, trials: int) -> SearchResult:
    return search(source, config, Bounds(trials, 60), seed=42, threads=1)


PLANTED = config_of({"key": CHANNEL, "choices": [0, 3, 80]})


@pytest.fixture(scope="module")
def planted(source: Source) -> SearchResult:
    """A search from a clearly bad configuration; one of its choices can't be trained."""
    return searched(source, PLANTED, 5)


def pairs_of(records: Records, rows: slice | np.ndarray[Any, Any]) -> set[tuple[int, int]]:
    users = records.user_ids[records.user[rows]]
    return set(zip(users.tolist(), records.catalogue.ids[records.item[rows]].tolist(), strict=True))


def test_a_search_sees_no_interaction_that_the_evaluation_tests_on(shop: Shop, source: Source) -> None:
    core, _ = five_core(load_records(shop.run))
    seen = pairs_of(source.records, slice(None))
    assert len(seen) > 1000
    by_time = global_split(core)
    for test in (leave_last_out(core, 10_000, 42).test, by_time.test):
        assert not seen & pairs_of(core, test)
    assert source.records.last < by_time.cut


def test_the_declared_columns_of_a_run_are_trained_on(shop: Shop, tmp_path: Path) -> None:
    path, run = tmp_path / "pipeline.yaml", str(tmp_path / "runs" / "own")
    path.write_text("columns: {datasets: [{name: words, sql: length(title), type: number}]}\n", encoding="utf-8")
    settings = shop.settings.model_copy(update={"pipeline_config": path})
    shutil.copytree(shop.run, run)
    for name in ("columns", "features"):
        run_step(settings, run, step_of(name))
    config = PLANTED.model_copy(update={"columns": load_config(settings).columns})
    trained = Trials(load_source(run, config, 42), config, threads=1, seed=42).train(config)
    assert trained.gains.mean() > 0
    with pytest.raises(PipelineError, match="made with other columns than those in PIPELINE_CONFIG"):
        load_source(run, PLANTED, 42)


def test_a_user_is_trained_on_or_chooses_or_confirms(source: Source) -> None:
    trials = Trials(source, PLANTED, threads=1, seed=42)
    user = source.records.user
    trained = {int(each) for part in trials._parts(PLANTED, trials._settings(PLANTED)) for each in user[part.past.rows]}
    choosing = {int(each) for past in trials._choosing for each in user[past.rows]}
    confirming = {int(each) for each in trials.confirming_users}
    assert not trained & choosing
    assert not trained & confirming
    assert not choosing & confirming
    assert len(trained) > 1.5 * len(choosing) > 0


def test_queries_are_replayed_only_if_more_than_the_ranker_has_changed(source: Source) -> None:
    trials = Trials(source, PLANTED, threads=1, seed=42)
    first = trials.train(PLANTED)
    assert trials.train(PLANTED.with_values({"ranker.leaves": 3})).recall is first.recall
    assert trials.train(PLANTED.with_values({CHANNEL: 5})).recall is not first.recall


def test_a_clearly_better_value_is_found_and_confirmed(planted: SearchResult) -> None:
    assert planted.is_better
    assert planted.changes == {CHANNEL: 80}
    assert planted.confirmation is not None
    assert planted.confirmation.gain > planted.confirmation.low > 0
    assert planted.ended_by == "trials"
    lines = list(describe(planted))
    assert f"  {CHANNEL}: 80 (is 3)" in lines
    assert "that no trial saw" in lines[-3]


def test_a_trial_that_cannot_be_trained_says_why_and_the_search_goes_on(planted: SearchResult) -> None:
    failed = [trial for trial in planted.trials if trial.gain is None]
    assert {trial.values[CHANNEL] for trial in failed} == {0}
    assert "popular and popular_30d are both off" in str(failed[0].failure)
    assert f"trial {failed[0].number} failed: popular and popular_30d" in "\n".join(describe(planted))


def test_the_same_seed_and_data_give_the_same_trials_and_file(source: Source, planted: SearchResult) -> None:
    again = searched(source, PLANTED, 5)
    untimed = [
        replace(result, seconds=0.0, trials=[replace(trial, seconds=0.0) for trial in result.trials])
        for result in (planted, again)
    ]
    assert untimed[0] == untimed[1]
    assert fragment_of(PLANTED, planted) == fragment_of(PLANTED, again)


def test_the_file_is_taken_as_it_is_and_holds_all_changes(planted: SearchResult, tmp_path: Path) -> None:
    text = str(fragment_of(PLANTED, planted))
    path = tmp_path / "found.yaml"
    path.write_text(text, encoding="utf-8")
    found = load_config(Settings(pipeline_config=path))
    assert found == PLANTED.with_values({CHANNEL: 80})
    assert text.startswith("# Found by `python -m pipeline search`: seed 42, 5 trials,\n# on 200 users, ")
    assert "95 % +" in text
    assert "evaluation" not in text


def test_without_a_gain_the_current_configuration_is_kept(source: Source) -> None:
    config = config_of({"key": CHANNEL, "choices": [2, 80]}, **{CHANNEL: 80})
    found = searched(source, config, 3)
    assert {trial.values[CHANNEL] for trial in found.trials} == {2, 80}
    assert (found.best, found.is_better, found.changes) == (None, False, {})
    assert list(describe(found))[-1] == "keep the current configuration: no trial was ahead of it"
    assert fragment_of(config, found) is None


def test_a_gain_whose_interval_includes_0_is_not_recommended(planted: SearchResult) -> None:
    assert planted.confirmation is not None
    found = replace(planted, confirmation=replace(planted.confirmation, low=0.0))
    assert (planted.is_better, found.is_better) == (True, False)
    assert list(describe(found))[-1].startswith("keep the current configuration: the interval is not above 0")
    assert fragment_of(PLANTED, found) is None


def test_no_trial_begins_after_the_minutes(source: Source) -> None:
    now = iter(range(0, 100_000, 50))
    found = search(source, PLANTED, Bounds(20, 5), seed=42, threads=1, clock=lambda: float(next(now)))
    assert found.ended_by == "minutes"
    assert 0 < len(found.trials) < 5
    assert f"{len(found.trials)} of 20 trials" in "\n".join(describe(found))


def test_an_interrupt_ends_the_trials_and_what_they_have_found_is_confirmed(
    source: Source, planted: SearchResult
) -> None:
    """The clock is read twice, then before each trial, at its begin and at its end; it interrupts one at its begin."""
    assert planted.best is not None
    reads = iter(range(100_000))

    def clock() -> float:
        read = next(reads)
        if read == 2 + 3 * planted.best + 1:
            raise KeyboardInterrupt
        return float(read)

    found = search(source, PLANTED, Bounds(20, 1e6), seed=42, threads=1, clock=clock)
    assert found.ended_by == "interrupt"
    assert (len(found.trials), found.best, found.changes) == (planted.best, planted.best, planted.changes)
    assert f"{planted.best} trials, ended by Ctrl-C" in str(fragment_of(PLANTED, found))


def test_too_few_queries_are_an_error_that_says_what_to_do(source: Source) -> None:
    few = source._replace(records=source.records.only(np.arange(len(source.records)) < 300))
    with pytest.raises(
        DataError, match=r"a quarter of the users has \d+ queries, and it takes 100 .* keep the current"
    ):
        searched(few, PLANTED, 1)
    none = source._replace(records=source.records.only(np.zeros(len(source.records), np.bool_)))
    with pytest.raises(DataError, match="has 0 queries"):
        searched(none, PLANTED, 1)


def test_values_stay_within_their_bounds_and_are_readable() -> None:
    config = config_of(
        {"key": "ranker.learning_rate", "low": 0.012345, "high": 0.2, "log": True},
        {"key": "ranker.trees", "low": 1, "high": 9},
    )
    space = Space(config)
    assert space.values_of({"ranker.learning_rate": 0.012345, "ranker.trees": 4})["ranker.learning_rate"] == 0.012345
    assert space.values_of({"ranker.learning_rate": 0.07654321, "ranker.trees": 4}) == {
        "ranker.learning_rate": 0.0765,
        "ranker.trees": 4,
    }
    assert space.current_parameters() == {"ranker.learning_rate": 0.09, "ranker.trees": 1}
    assert Space(config.with_values({"ranker.trees": 10})).current_parameters() is None


@pytest.fixture
def folder(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder, with the settings of the shop in the environment."""
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(PLANTED.model_dump(mode="json")), encoding="utf-8")
    monkeypatch.setenv("PIPELINE_CONFIG", str(path))
    return tmp_path


def test_the_command_writes_the_file_and_prints_one_document(
    folder: Path, capsys: pytest.CaptureFixture[str], planted: SearchResult
) -> None:
    output = folder / "found.yaml"
    assert main(["search", "--trials", "5", "--json", "--output", str(output)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["changes"] == {CHANNEL: 80}
    assert document["confirmation"]["low"] > 0
    assert output.read_text(encoding="utf-8") == fragment_of(PLANTED, planted)
    assert [path.name for path in sorted(folder.iterdir())] == ["found.yaml", "mine.yaml"]


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """Return what a search that can't begin says."""
    assert main(["search", *arguments]) == code
    return capsys.readouterr().err


def test_a_file_is_not_overwritten_without_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = folder / "mine.yaml"
    before = mine.read_bytes()
    assert "give --force" in refused(capsys, 2, "--output", str(mine))
    assert mine.read_bytes() == before
    assert "is not a folder" in refused(capsys, 2, "--output", str(folder / "none" / "found.yaml"))
    for other in (str(folder), os.devnull):
        assert "this is a folder or a device" in refused(capsys, 2, "--output", other, "--force")


def test_a_run_without_its_data_is_an_error_that_says_what_to_do(
    folder: Path, shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no run other" in refused(capsys, 2, "--run-id", "other")
    copy = folder / "artifacts" / "runs" / "nightly"
    shutil.copytree(shop.run, copy)
    (copy / "features" / "content.npy").unlink()
    monkeypatch.setenv("ARTIFACT_URL", str(folder / "artifacts"))
    assert "features: missing or damaged; continue the run by" in refused(capsys, 1)
    monkeypatch.setenv("ARTIFACT_URL", str(folder / "nothing"))
    assert "begin one by `python -m pipeline run`" in refused(capsys, 2)


def test_a_mistake_in_the_section_search_is_named_with_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.yaml").write_text("search:\n  parameters:\n    - {key: ranker.leafs, low: 3, high: 9}\n", "utf-8")
    assert "mine.yaml:3: search.parameters.0: there is no ranker.leafs to search" in refused(capsys, 2)


@pytest.mark.parametrize("wrong", [("--trials", "0"), ("--minutes", "0"), ("--trials", "-1"), ("--minutes", "x")])
def test_bounds_are_at_least_1(wrong: tuple[str, str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["search", *wrong])
