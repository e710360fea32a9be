"""A run that was killed continues: finished steps are not repeated, and its archive is that of an undisturbed run."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from s3fs import S3FileSystem
from sqlalchemy import text
from threadpoolctl import threadpool_limits

from contracts.artifact_store import locate
from pipeline.artifacts import FileList, join, remove
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.cli import main
from pipeline.config import PipelineConfig
from pipeline.demo import DemoSize, generate
from pipeline.errors import PipelineError
from pipeline.settings import Settings
from pipeline.steps import run_step, step_of, steps
from pipeline.steps.markers import relevant_settings
from pipeline.steps.run import folder_of
from pipeline.steps.runner import load_times
from ranking.diversity import DiversitySettings
from testkit.s3_server import S3Server

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = "nightly"
CONFIG = "queries: {most: 200}\n"


@dataclass(frozen=True)
class Shop:
    """A small business database, and an undisturbed run over it as of AS_OF."""

    folder: Path
    url: str

    def environment(self, artifacts: str) -> dict[str, str]:
        return {
            "BUSINESS_DATABASE_URL": self.url,
            "ARTIFACT_URL": str(self.folder / artifacts),
            "PIPELINE_CONFIG": str(self.folder / "pipeline.yaml"),
            "GIT_COMMIT": "abc",
        }

    def settings(self, artifacts: str, **changes: Any) -> Settings:
        known = {name.lower(): value for name, value in self.environment(artifacts).items()}
        return Settings(database_url=None, **(known | changes))

    def run(self, artifacts: str) -> Path:
        return self.folder / artifacts / "runs" / RUN

    def archive(self, artifacts: str) -> bytes:
        return (self.run(artifacts) / "bundle" / "bundle.tar.gz").read_bytes()


ARGUMENTS = ("run", "--no-publish", "--run-id", RUN)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("resume")
    made = Shop(folder, f"sqlite:///{folder / 'business.db'}")
    (folder / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    content = generate(DemoSize(datasets=120, users=150, interactions=4000), 42, AS_OF)
    engine = open_engine(made.url, "X")
    replace_content(engine, content)
    engine.dispose()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment("undisturbed").items():
            patch.setenv(name, value)
        assert main([*ARGUMENTS, "--as-of", AS_OF.isoformat()]) == 0
    return made


@pytest.fixture
def resume(shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Continue a run in this process, and return the printed lines about steps."""

    def run(artifacts: str, *arguments: str, **environment: str) -> list[str]:
        for name, value in (shop.environment(artifacts) | environment).items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        assert main([*(arguments or (*ARGUMENTS, "--resume"))]) == 0
        return capfd.readouterr().out.splitlines()

    return run


def markers(run: Path) -> dict[str, bytes]:
    return {path.name.removesuffix(".done.json"): path.read_bytes() for path in run.glob("*.done.json")}


def stop_after(shop: Shop, artifacts: str, done: int) -> None:
    """Make a store with a run of which only the first steps have finished."""
    shutil.copytree(shop.folder / "undisturbed", shop.folder / artifacts)
    run = shop.run(artifacts)
    for step in steps(publish=False)[done:]:
        (run / f"{step.name}.done.json").unlink()
        for output in step.outputs:
            remove(folder_of(str(run), output))


@pytest.mark.parametrize(
    ("place", "done"),
    [
        # Before the last output of a step is complete; in the middle of an output.
        ("/recall_earlier.files.json$", 5),
        ("/contents/manifest.json$", 9),
    ],
)
def test_a_killed_run_continues_to_the_same_archive_without_repeating_steps(
    shop: Shop, resume: Any, place: str, done: int
) -> None:
    artifacts = f"killed-{done}"
    stop_after(shop, artifacts, done)
    killed = subprocess.run(
        [sys.executable, "-m", "testkit.killed_at_path", place, "pipeline", *ARGUMENTS, "--resume"],
        env=os.environ | shop.environment(artifacts),
        cwd=shop.folder,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    before = markers(shop.run(artifacts))
    assert len(before) == done
    lines = resume(artifacts)
    assert [each.split()[1] for each in lines if each.endswith(" skipped: done before, and nothing has changed")] == [
        step.name for step in steps(publish=False)[:done]
    ]
    assert lines[done] == f"[{done + 1}/10] {steps(publish=False)[done].name}: it has not finished"
    after = markers(shop.run(artifacts))
    assert {name: after[name] for name in before} == before
    assert shop.archive(artifacts) == shop.archive("undisturbed")
    left = [path.name for path in shop.run(artifacts).iterdir() if path.name.startswith(".")]
    assert left == []


@pytest.mark.parametrize(
    ("request_", "is_carried_out", "done"),
    [
        # In the middle of an output; when an output is complete and its step is not yet marked as done.
        ("PUT /runs/nightly/recall_heldout/content_items.npy", False, 5),
        ("PUT /runs/nightly/clean.files.json", True, 1),
    ],
)
def test_a_run_whose_results_are_on_an_object_store_continues_after_a_kill_in_the_middle_of_a_request(
    shop: Shop, s3_server: S3Server, request_: str, is_carried_out: bool, done: int
) -> None:
    stop_after(shop, f"object-store-{done}", done)
    files = locate(s3_server.address).files
    files.put(f"{shop.folder}/object-store-{done}/", f"{s3_server.bucket}/", recursive=True)
    environment = os.environ | shop.environment("") | {"ARTIFACT_URL": s3_server.address}
    s3_server.deadly, s3_server.is_carried_out = request_, is_carried_out

    def resume() -> tuple[int, str]:
        command = [sys.executable, "-m", "pipeline", *ARGUMENTS, "--resume"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            s3_server.client = process.pid
            out, _ = process.communicate(timeout=220)
            return process.returncode, out

    killed, _ = resume()
    assert (killed, s3_server.deadly) == (-9, None)
    ended, out = resume()
    assert ended == 0
    assert out.count(" skipped: done before, and nothing has changed") == done
    assert f"{steps(publish=False)[done].name}: it has not finished" in out
    assert files.cat_file(f"{s3_server.bucket}/runs/{RUN}/bundle/bundle.tar.gz") == shop.archive("undisturbed")


def test_an_object_store_that_cannot_be_used_is_named_in_one_line(
    shop: Shop, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in shop.environment("").items():
        monkeypatch.setenv(name, value)
    found = []
    for address, environment in (
        ("s3://no-such-bucket", {}),
        (s3_server.address, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}),
        (
            s3_server.address,
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"},
        ),
    ):
        with monkeypatch.context() as patch:
            for name, value in ({"ARTIFACT_URL": address} | environment).items():
                patch.setenv(name, value)
            S3FileSystem.clear_instance_cache()
            assert main(ARGUMENTS) == 1
        found.append(capfd.readouterr().err.splitlines()[-1].partition("?")[0])
    assert found == [
        "pipeline: The specified bucket does not exist",
        f'pipeline: object store: Could not connect to the endpoint URL: "http://127.0.0.1:9/{s3_server.bucket}',
        "pipeline: object store: Unable to locate credentials",
    ]


def test_rows_that_come_later_do_not_change_a_run_as_of_the_same_moment(shop: Shop, tmp_path: Path) -> None:
    """The extracted files are the same, and no later step reads anything else."""
    url = f"sqlite:///{shutil.copy(shop.folder / 'business.db', tmp_path / 'business.db')}"
    with open_engine(url, "X").begin() as connection:
        columns = "interactions (id, user_id, dataset_id, type, ts)"
        at = (AS_OF + timedelta(days=1)).replace(tzinfo=None).isoformat(" ")
        for statement in (
            "INSERT INTO datasets (id, title, created_at, is_deleted) VALUES (900001, 'Later', :at, 0)",
            "INSERT INTO users (id, created_at) VALUES (900001, :at)",
            f"INSERT INTO {columns} SELECT id + 100000, user_id, 900001, 'view', :at FROM interactions",
            f"INSERT INTO {columns} SELECT id + 500000, 1, dataset_id, 'view', :at FROM interactions",
        ):
            connection.execute(text(statement), {"at": at})
    run = shop.run("later")
    run.mkdir(parents=True)
    shutil.copy(shop.run("undisturbed") / "run.json", run)
    run_step(shop.settings("later", business_database_url=url), str(run), step_of("extract"))
    assert FileList.of(run / "extract") == FileList.of(shop.run("undisturbed") / "extract")


@pytest.fixture
def copied(shop: Shop) -> Path:
    """A copy of the undisturbed store, to be changed; returns the run's folder."""
    shutil.rmtree(shop.folder / "copied", ignore_errors=True)
    shutil.copytree(shop.folder / "undisturbed", shop.folder / "copied")
    return shop.run("copied")


def verdicts(lines: list[str]) -> dict[str, str]:
    """Return what `explain` says about each step."""
    table = lines[2 : lines.index("")]
    return {line.split()[0]: line.split(" s  ")[-1].strip() for line in table}


def test_explain_says_what_the_settings_mean_for_the_data_of_the_last_training(copied: Path, resume: Any) -> None:
    lines = resume("copied", "explain")
    assert lines[0].startswith(f"run {RUN}, ")
    document = json.loads("\n".join(resume("copied", "explain", "--json")))
    counts = json.loads((copied / "bundle" / "contents" / "manifest.json").read_text("utf-8"))["data_window"]
    assert {name: document["data"][name] for name in ("users", "datasets", "interactions")} == {
        name: counts[name] for name in ("users", "datasets", "interactions")
    }
    queries = document["queries"]
    assert (queries["about_last_datasets"], queries["late"], queries["most"]) == (80, 120, 200)
    assert [each["step"] for each in document["steps"]] == [step.name for step in steps(publish=False)]
    chosen = json.loads((copied / "bundle" / "contents" / "recall.json").read_text("utf-8"))
    assert {name: each["chosen"] for name, each in document["history"].items()} == {
        name: chosen[name] for name in ("history_half_life_days", "recent_ranks")
    }
    assert document["order"] == json.loads((copied / "model" / "order.json").read_text("utf-8"))
    assert document["config"]["queries"]["most"] == 200
    assert document["feedback"] == json.loads((copied / "model" / "feedback.json").read_text("utf-8"))
    assert lines[-2:] == resume("copied", "offpolicy")
    assert lines[-1] == "off-policy estimate: not identifiable: no answer was in random order: EXPLORATION_SHARE is 0"
    assert any(line.startswith("training queries: 80 about the last datasets of users, 120 of") for line in lines)


def test_explain_of_a_run_without_a_training_says_what_the_current_shape_would_mean(
    shop: Shop, resume: Any, tmp_path: Path
) -> None:
    stop_after(shop, "only-data", 4)
    (tmp_path / "mine.yaml").write_text("recall: {channels: {vector: 0}}\nqueries: {most: 150}\n", encoding="utf-8")
    lines = resume("only-data", "explain", PIPELINE_CONFIG=str(tmp_path / "mine.yaml"))
    assert any(line.split()[:2] == ["vector", "off"] for line in lines)
    assert any(line.startswith("training queries: 60 about the last datasets") for line in lines)
    assert lines[-1] == "order: not trained yet"


def test_explain_without_any_training_says_how_to_begin_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shop.environment("nothing-here").items():
        monkeypatch.setenv(name, value)
    assert main(["explain"]) == 2


def test_explain_shows_when_each_step_ran_and_that_nothing_would_run_again(copied: Path, resume: Any) -> None:
    lines = resume("copied", "explain", "--run-id", RUN)
    assert lines[0] == f"run {RUN}, as of {AS_OF.isoformat()}, without deployment"
    assert verdicts(lines) == dict.fromkeys([step.name for step in steps(publish=False)], "skipped")
    times = json.loads((copied / "steps.json").read_text(encoding="utf-8"))["steps"]
    assert [(each["step"], each["state"]) for each in times] == [(step.name, "done") for step in steps(publish=False)]
    assert all(each["seconds"] >= 0 for each in times)


def test_a_changed_setting_repeats_the_steps_that_depend_on_it_and_names_both_values(copied: Path, resume: Any) -> None:
    found = verdicts(resume("copied", "explain", "--run-id", RUN, DIVERSITY_RELEVANCE="0.5"))
    assert found["evaluate"] == f"runs: DIVERSITY_RELEVANCE was {DiversitySettings().relevance}, is 0.5"
    assert {name for name, verdict in found.items() if verdict == "skipped"} == {
        "extract",
        "quality",
        "columns",
        "features",
        "feedback",
        "recall",
        "train",
    }


def test_another_shape_of_the_model_repeats_the_training_and_no_data_is_read_again(
    copied: Path, resume: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(f"{CONFIG}ranker: {{trees: 20}}\n", encoding="utf-8")
    found = verdicts(resume("copied", "explain", "--run-id", RUN, PIPELINE_CONFIG=str(other)))
    assert found["train"] == "runs: PIPELINE_CONFIG has changed"
    assert found["features"] == "runs again if columns changes columns"
    assert {name for name, verdict in found.items() if verdict == "skipped"} == {"extract", "quality"}


def test_the_manifest_and_the_report_say_what_was_in_force(shop: Shop) -> None:
    manifest = json.loads((shop.run("undisturbed") / "bundle" / "contents" / "manifest.json").read_text("utf-8"))
    defaults = PipelineConfig()
    in_force = defaults.model_copy(update={"queries": defaults.queries.model_copy(update={"most": 200})})
    assert manifest["config"] == in_force.model_dump(mode="json")
    page = (shop.run("undisturbed") / "report" / "report.html").read_text("utf-8")
    shown = page.partition("Configuration of the training")[2]
    assert '<th scope="row">queries.most</th><td class="num">200</td>' in shown
    assert '<th scope="row">queries.kinds.user</th><td class="num">0.8</td>' in shown
    assert '<th scope="row">history.half_lives_days</th><td class="num">[7.0, 30.0, 1000.0]</td>' in shown


def test_a_changed_file_is_made_again_and_equal_results_repeat_nothing_else(
    copied: Path, resume: Any, shop: Shop
) -> None:
    (copied / "clean" / "users.parquet").write_bytes(b"damaged")
    found = verdicts(resume("copied", "explain", "--run-id", RUN))
    assert found["quality"] == "runs: its output clean is missing or has changed"
    assert found["features"] == "runs again if quality changes clean"
    lines = resume("copied")
    assert sum("skipped" in line for line in lines) == 9
    assert shop.archive("copied") == shop.archive("undisturbed")


def test_other_code_repeats_everything(copied: Path, resume: Any) -> None:
    for path in copied.glob("*.done.json"):
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"code": "0" * 16}), encoding="utf-8")
    found = verdicts(resume("copied", "explain", "--run-id", RUN))
    assert all(verdict.startswith("runs: the code has changed (was 0000") for verdict in found.values())


def test_a_marker_contains_no_secret_and_a_new_password_repeats_nothing(shop: Shop, copied: Path) -> None:
    urls = [f"postgresql+psycopg2://{user}@db/shop" for user in ("me:topsecret", "you:other")]
    one, other = (
        relevant_settings(shop.settings("copied", business_database_url=url), ["business_database_url"]) for url in urls
    )
    assert one == other
    assert "topsecret" not in str(one)
    elsewhere = shop.settings("copied", business_database_url="postgresql+psycopg2://me:topsecret@db/other")
    assert relevant_settings(elsewhere, ["business_database_url"]) != one


def test_one_step_is_run_again_by_its_name(copied: Path, resume: Any, shop: Shop) -> None:
    before = markers(copied)
    (line,) = resume("copied", "step", "precompute", "--run-id", RUN)
    assert line.startswith("precompute done in ")
    after = markers(copied)
    assert {name for name in before if before[name] != after[name]} == {"precompute"}
    assert json.loads(before["precompute"])["outputs"] == json.loads(after["precompute"])["outputs"]


def test_a_step_depends_on_nothing_but_the_inputs_and_settings_that_it_declares(shop: Shop) -> None:
    """Each step, alone with its inputs, gives the same outputs; otherwise a change could go unseen."""
    read: set[str] = set()

    class Recording(Settings):
        def __getattribute__(self, name: str) -> Any:
            if name in Settings.model_fields:
                read.add(name)
            return super().__getattribute__(name)

    made = str(shop.run("undisturbed"))
    for step in steps(publish=False):
        settings = Recording(**shop.settings(f"alone-{step.name}").model_dump())
        alone = str(shop.run(f"alone-{step.name}"))
        Path(alone).mkdir(parents=True)
        shutil.copy(join(made, "run.json"), alone)
        for name in step.inputs:
            shutil.copytree(folder_of(made, name), folder_of(alone, name))
        with threadpool_limits(settings.training_threads, user_api="blas"):  # as in `run_step`
            read.clear()
            step.run(settings, alone)
        # Where a query runs changes no row of its answer.
        assert read - {"pipeline_engine_url", "artifact_url"} <= {*step.settings}, step.name
        for name in step.outputs:
            assert FileList.of(Path(folder_of(alone, name))) == FileList.of(Path(folder_of(made, name))), step.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--resume"), "--resume needs --run-id"),
        (("run", "--resume", "--run-id", "none"), "there is no run none below ARTIFACT_URL"),
        (("explain", "--run-id", "none"), "there is no run none below ARTIFACT_URL"),
        (("step", "train", "--run-id", "none"), "there is no run none below ARTIFACT_URL"),
        (("run", "--run-id", RUN), "there is a run nightly already: continue it by --resume"),
        (("run", "--run-id", "a/b"), "run id 'a/b': write 1 to 48 letters"),
        (("run", "--run-id", RUN, "--resume", "--as-of", "2026-01-01T00:00:00Z"), "run nightly is as of 2026-03-01"),
        (("run", "--run-id", RUN, "--resume", "--full-extraction"), "run nightly has begun without --full-extraction"),
    ],
)
def test_a_wrong_run_is_an_input_error(
    shop: Shop,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in shop.environment("undisturbed").items():
        monkeypatch.setenv(name, value)
    assert main(arguments) == 2
    assert message in capfd.readouterr().err


def test_a_step_that_fails_is_not_done_and_its_time_is_recorded(shop: Shop, copied: Path) -> None:
    shutil.rmtree(copied / "features")
    with pytest.raises(PipelineError, match="features: no such folder"):
        run_step(shop.settings("copied"), str(copied), step_of("recall"))
    assert not (copied / "recall.done.json").exists()
    assert load_times(str(copied))["recall"].state == "failed"
