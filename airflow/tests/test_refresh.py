"""A refresh renews the data around the ranker in service, and takes its place only while that model serves."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from contracts.bundle import BundleManifest, check_features, unpack
from model_registry import settings as registry_settings
from monitoring import testing
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.cli import main
from pipeline.demo import DemoSize, generate
from pipeline.settings import Settings
from pipeline.steps import new_run, run_step, step_of
from pipeline.steps.data import other_trainings
from pipeline.steps.runner import load_times
from ranking import bundle
from ranking.engine import Engine
from ranking.ranker import feature_names
from ranking.verification import verify
from running_registry import RunningRegistry
from testkit.threaded_server import SilentHandler, ThreadedServer

TOKEN = "r" * 40
# A bundle of the release before the votes of recall were features.
FIRST_RELEASE = Path(__file__).parents[2] / "libs/ranking/tests/data/first_release.tar.gz"
NEW_DATASET = 900_001
CONFIG = """\
queries: {most: 100}
columns:
  datasets: [{name: words, sql: length(title), type: number}, {name: topic, sql: tags, type: category}]
  users: [{name: topic, sql: province, type: category}]
"""


class FeatureSync(ThreadedServer):
    """Feature-sync as the pipeline sees it; `snapshots` are those that it was asked for."""

    def __init__(self) -> None:
        super().__init__(_SyncHandler)
        self.snapshots: list[str] = []


class _SyncHandler(SilentHandler):
    server: FeatureSync

    def do_POST(self) -> None:
        self.server.snapshots.append(json.loads(self.read_body())["snapshot"])
        self.send_json(202, {"job": "j-1"})

    def do_GET(self) -> None:
        self.send_json(200, {"job": "j-1", "state": "done"})


@dataclass(frozen=True)
class Trained:
    """A business database, and the store with the training that was made from it."""

    folder: Path

    @property
    def archive(self) -> Path:
        (found,) = self.folder.glob("artifacts/runs/trained/bundle/bundle.tar.gz")
        return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    engine = open_engine(f"sqlite:///{folder}/business.db", "X")
    content = generate(DemoSize(datasets=100, users=100, interactions=2500), 42, datetime.now(UTC) - timedelta(hours=2))
    replace_content(engine, content)
    engine.dispose()
    (folder / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "BUSINESS_DATABASE_URL": f"sqlite:///{folder}/business.db",
            "ARTIFACT_URL": f"{folder}/artifacts",
            "PIPELINE_CONFIG": f"{folder}/pipeline.yaml",
        }.items():
            patch.setenv(name, value)
        assert main(["run", "--no-publish", "--run-id", "trained"]) == 0
    return Trained(folder)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RunningRegistry]:
    settings = registry_settings.Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        artifact_url=str(tmp_path / "registry"),
        registry_token=SecretStr(TOKEN),
    )
    with RunningRegistry(settings) as running:
        yield running


@pytest.fixture
def sync() -> Iterator[FeatureSync]:
    with FeatureSync() as running:
        yield running


@dataclass(frozen=True)
class Shop:
    """What a refresh runs on: a copy of the trained store, a registry and feature-sync."""

    folder: Path
    registry: RunningRegistry
    sync: FeatureSync
    capfd: pytest.CaptureFixture[str]

    def serve(self, archive: Path) -> str:
        """Push a bundle and put it into service."""
        version = str(self.registry.push(archive).json()["version"])
        assert self.registry.deploy(version, force=True, reason="test").status_code == 201
        return version

    def refresh(self, *arguments: str) -> tuple[int, str]:
        """Run the command, and return its exit code and what it printed."""
        self.capfd.readouterr()
        code = main(["refresh", *arguments])
        printed = self.capfd.readouterr()
        return code, printed.out + printed.err

    def add_dataset(self) -> None:
        """Add a dataset that some users have bought since the training."""
        engine = open_engine(f"sqlite:///{self.folder}/business.db", "X")
        at = (datetime.now(UTC) - timedelta(minutes=5)).replace(tzinfo=None).isoformat(" ")
        columns = "(id, user_id, dataset_id, type, ts)"
        with engine.begin() as connection:
            for table, rows in (
                ("datasets (id, title, tags, created_at, is_deleted)", "VALUES (:id, 'North Sea', 'tides', :at, 0)"),
                (f"interactions {columns}", "SELECT 900000 + id, id, :id, 'purchase', :at FROM users WHERE id < 40"),
            ):
                connection.execute(text(f"INSERT INTO {table} {rows}"), {"id": NEW_DATASET, "at": at})
        engine.dispose()

    def runs(self) -> list[Path]:
        return sorted((self.folder / "artifacts" / "runs").glob("refresh-*"))

    def step(self, name: str, run: Path) -> None:
        run_step(Settings(), str(run), step_of(name))


@pytest.fixture
def shop(
    trained: Trained,
    registry: RunningRegistry,
    sync: FeatureSync,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Shop:
    shutil.copytree(trained.folder, tmp_path, dirs_exist_ok=True)
    for name, value in {
        "BUSINESS_DATABASE_URL": f"sqlite:///{tmp_path}/business.db",
        "ARTIFACT_URL": f"{tmp_path}/artifacts",
        "REGISTRY_URL": registry.url,
        "REGISTRY_TOKEN": TOKEN,
        "FEATURE_SYNC_URL": sync.url,
    }.items():
        monkeypatch.setenv(name, value)
    return Shop(tmp_path, registry, sync, capfd)


def test_a_training_is_published_with_its_evaluation_part_and_a_refresh_without_one(shop: Shop) -> None:
    trained = shop.folder / "artifacts" / "runs" / "trained"
    shop.step("publish", trained)
    shown = shop.registry.http.get("/models/ranker/versions/1").json()["evaluation"]
    assert (shown["run_id"], shown["queries"] > 0) == ("trained", True)
    shop.step("deploy", trained)
    shop.add_dataset()
    assert shop.refresh()[0] == 0
    assert shop.registry.http.get("/models/ranker/versions/2").json()["evaluation"] is None


def unpacked(archive: Path, folder: Path) -> BundleManifest:
    folder.mkdir()
    return unpack(archive, folder)


def test_a_refresh_brings_new_datasets_around_the_very_same_ranker(
    shop: Shop, trained: Trained, tmp_path: Path
) -> None:
    before = unpacked(trained.archive, tmp_path / "before")
    version = shop.serve(trained.archive)
    shop.add_dataset()
    with testing.captured() as captured:
        assert shop.refresh("--run-id", "first")[0] == 0
    (run,) = shop.runs()
    after = unpacked(run / "bundle" / "bundle.tar.gz", tmp_path / "after")
    assert (tmp_path / "after/ranker.txt").read_bytes() == (tmp_path / "before/ranker.txt").read_bytes()
    assert NEW_DATASET in bundle.load(tmp_path / "after").catalogue.ids
    assert NEW_DATASET not in bundle.load(tmp_path / "before").catalogue.ids
    # The new dataset has its declared columns, by the codes of the training.
    contents = bundle.load(tmp_path / "after")
    assert contents.own == bundle.load(tmp_path / "before").own
    assert contents.table.own[contents.catalogue.position(NEW_DATASET)].tolist() == [len("North Sea"), 0.0]
    assert (after.refreshes, after.metrics, before.refreshes) == (version, before.metrics, None)
    assert after.config == before.config is not None
    assert after.version.startswith("refresh-first-")
    assert (tmp_path / "after/golden.json").read_bytes() != (tmp_path / "before/golden.json").read_bytes()
    assert verify(Engine(bundle.load(tmp_path / "after"))) > 0
    serving = shop.registry.http.get(f"/models/ranker/versions/{shop.registry.active()}").json()
    assert (serving["refreshes"], serving["manifest"]["version"]) == (version, after.version)
    assert shop.sync.snapshots == [str(shop.folder / "artifacts/snapshots/refresh-first")]
    # A good refresh must not hide that no training succeeds.
    # The last day is small, so whether it is a spike depends on the weekday of this test.
    assert {each.point.id for each in captured} <= {"pipeline.data_quality"}
    assert "pipeline.no_recent_run" not in {each.point_id for each in captured.recovered}


def test_a_refresh_of_a_refresh_belongs_to_the_trained_version(shop: Shop, trained: Trained) -> None:
    version = shop.serve(trained.archive)
    shop.add_dataset()
    assert shop.refresh("--run-id", "first")[0] == 0
    # A deployment whose answer was lost is tried again, and counts.
    shop.step("refresh_deploy", shop.runs()[0])
    assert shop.registry.active() == "2"
    engine = open_engine(f"sqlite:///{shop.folder}/business.db", "X")
    with engine.begin() as connection:
        connection.execute(text("UPDATE datasets SET title = 'Tides' WHERE id = :id"), {"id": NEW_DATASET})
    engine.dispose()
    assert shop.refresh("--run-id", "second")[0] == 0
    serving = shop.registry.http.get(f"/models/ranker/versions/{shop.registry.active()}").json()
    assert (serving["version"], serving["refreshes"]) == ("3", version)


def test_a_refresh_keeps_the_ranker_of_the_first_release_and_names_its_features_and_their_schema(
    shop: Shop, tmp_path: Path
) -> None:
    before = unpacked(FIRST_RELEASE, tmp_path / "before")
    version = shop.serve(FIRST_RELEASE)
    shop.add_dataset()
    assert shop.refresh("--run-id", "first")[0] == 0
    (run,) = shop.runs()
    after = unpacked(run / "bundle" / "bundle.tar.gz", tmp_path / "after")
    assert (tmp_path / "after/ranker.txt").read_bytes() == (tmp_path / "before/ranker.txt").read_bytes()
    assert after.feature_schema == before.feature_schema == "e98a244902e8ff2e"
    assert after.features == before.features
    assert [spec.name for spec in after.features] == feature_names((tmp_path / "after/ranker.txt").read_text())
    check_features(after)
    contents = bundle.load(tmp_path / "after")
    assert NEW_DATASET in contents.catalogue.ids
    # The channels of its time: the ranker was not trained with candidates of others.
    assert contents.recall_settings == bundle.load(tmp_path / "before").recall_settings
    assert verify(Engine(contents)) > 0
    serving = shop.registry.http.get(f"/models/ranker/versions/{shop.registry.active()}").json()
    assert (serving["refreshes"], serving["manifest"]["version"]) == (version, after.version)


def test_the_ranker_comes_from_the_registry_if_its_run_is_gone(shop: Shop, trained: Trained) -> None:
    shop.serve(trained.archive)
    shutil.rmtree(shop.folder / "artifacts" / "runs" / "trained")
    assert shop.refresh("--run-id", "first", "--no-publish")[0] == 0
    (run,) = shop.runs()
    stored = (trained.archive.parent / "contents" / "ranker.txt").read_bytes()
    assert (run / "bundle/contents/ranker.txt").read_bytes() == stored
    assert shop.registry.active() == "1"
    assert shop.sync.snapshots == []


def test_without_a_model_in_service_nothing_is_read_and_nobody_is_alerted(shop: Shop) -> None:
    with testing.captured() as captured:
        code, printed = shop.refresh("--run-id", "first")
    assert (code, captured) == (0, [])
    assert "nothing to refresh: no version of ranker is in service yet" in printed
    (run,) = shop.runs()
    assert {name: each.state for name, each in load_times(str(run)).items()} == {"served_model": "skipped"}
    assert not (run / "extract").exists()


def test_without_new_data_nothing_is_registered(shop: Shop, trained: Trained) -> None:
    shop.serve(trained.archive)
    code, printed = shop.refresh("--run-id", "first")
    assert code == 0
    assert "the data has not changed since version 1, which is in service" in printed
    assert [each["version"] for each in shop.registry.http.get("/models/ranker").json()["versions"]] == ["1"]
    assert shop.sync.snapshots == []


def test_a_refresh_that_is_overtaken_deploys_and_syncs_nothing_and_alerts_nobody(
    shop: Shop, trained: Trained, tmp_path: Path
) -> None:
    shop.serve(trained.archive)
    shop.add_dataset()
    assert shop.refresh("--run-id", "first", "--no-publish")[0] == 0
    another = shop.registry.push_new(tmp_path, seed=1)
    assert shop.registry.deploy(another, force=True, reason="test").status_code == 201
    with testing.captured() as captured:
        code, printed = shop.refresh("--run-id", "first", "--resume")
    assert (code, captured) == (0, [])
    # All but the handover was done before.
    assert printed.count("skipped: done before, and nothing has changed") == 8
    assert "overtaken, nothing is deployed" in printed
    assert f"in service is {another}" in printed
    assert shop.registry.active() == another
    assert shop.sync.snapshots == []
    (run,) = shop.runs()
    assert load_times(str(run))["refresh_deploy"].state == "skipped"


def test_critical_data_stops_a_refresh_and_its_report_is_marked(shop: Shop, trained: Trained) -> None:
    shop.serve(trained.archive)
    engine = open_engine(f"sqlite:///{shop.folder}/business.db", "X")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM interactions"))
    engine.dispose()
    with testing.captured() as captured:
        code, printed = shop.refresh("--run-id", "first")
    assert code == 1
    assert "interactions.empty" in printed
    assert "pipeline.critical_step_failed" in captured.point_ids
    assert shop.registry.active() == "1"
    (run,) = shop.runs()
    assert "刷新 refresh" in (run / "report" / "report.html").read_text(encoding="utf-8")


def test_refreshes_are_no_nights_for_the_comparisons_and_push_out_no_training(shop: Shop, trained: Trained) -> None:
    shop.serve(trained.archive)
    assert shop.refresh("--run-id", "r0", "--no-publish")[0] == 0
    for number in range(1, 9):
        copy_run(shop.runs()[0], f"refresh-r{number}", number)
    runs = shop.folder / "artifacts" / "runs"
    assert other_trainings(str(runs / "next")) == [str(runs / "trained")]
    for kind in ("refresh", "training"):
        new_run(Settings(runs_kept=1), "next", kind)
        assert {path.name for path in shop.runs()} == {"refresh-r6", "refresh-r7", "refresh-r8"}
        assert (runs / "trained").is_dir()


def test_before_a_refresh_no_training_is_removed_that_may_still_run(shop: Shop) -> None:
    runs = shop.folder / "artifacts" / "runs"
    (runs / "trained" / "bundle.done.json").unlink()
    new_run(Settings(failed_runs_kept=0), "next", "refresh")
    assert (runs / "trained").is_dir()
    new_run(Settings(failed_runs_kept=0), "next")
    assert not (runs / "trained").exists()


def copy_run(run: Path, name: str, hours: int) -> None:
    """Make another refresh of a later hour."""
    copied = run.parent / name
    shutil.copytree(run, copied)
    info = json.loads((copied / "run.json").read_text(encoding="utf-8"))
    began = datetime.fromisoformat(info["started_at"]) + timedelta(hours=hours)
    (copied / "run.json").write_text(json.dumps(info | {"run_id": name, "started_at": began.isoformat()}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("refresh", "--resume"), "--resume needs --run-id"),
        (("refresh", "--resume", "--run-id", "trained"), "there is no run refresh-trained below ARTIFACT_URL"),
        (("refresh", "--run-id", "a/b"), "run id 'a/b': write 1 to 48 letters"),
        (("run", "--resume", "--run-id", "refresh-first"), "run refresh-first is a refresh: continue it by"),
        (("run", "--run-id", "refresh-first"), "only the ids of refreshes begin with refresh-"),
    ],
)
def test_a_wrong_run_is_an_input_error(shop: Shop, arguments: tuple[str, ...], message: str) -> None:
    shop.refresh("--run-id", "first")
    assert main(arguments) == 2
    assert message in shop.capfd.readouterr().err
