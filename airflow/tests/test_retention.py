"""Old runs are deleted when a run starts, but never the last good one; a failure of this costs no run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.snapshot import write_snapshot
from localservers.ports import Ports
from monitoring import testing
from pipeline.settings import Settings
from pipeline.steps import RunInfo, new_run, step_of, time_run_id, write_run_info
from pipeline.steps.markers import write_marker

NOW = datetime(2026, 3, 5, tzinfo=UTC)
NEXT = time_run_id(NOW)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A store with four runs of an earlier release and their snapshots, of which two are kept."""
    for day in (4, 1, 3, 2):
        for folder in ("runs/{}/clean", "runs/{}/bundle", "runs/{}/registry", "snapshots/{}"):
            (tmp_path / folder.format(f"2026030{day}T000000000000Z")).mkdir(parents=True)
    return Settings(artifact_url=str(tmp_path), runs_kept=2)


def names(folder: Path) -> list[str]:
    return sorted(path.name[:8] for path in folder.iterdir())


def test_the_newest_runs_and_snapshots_stay(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "runs" / ".20260301T000000000000Z.draft").mkdir()
    with testing.captured() as captured:
        assert new_run(settings, NEXT) == f"{tmp_path}/runs/20260305T000000000000Z"
    assert names(tmp_path / "runs") == [".2026030", "20260303", "20260304"]
    assert names(tmp_path / "snapshots") == ["20260303", "20260304"]
    assert (tmp_path / "models").is_dir()
    assert captured == []


def add_run(settings: Settings, name: str, age_days: int, *, publish: bool = True, done: str = "") -> None:
    """A run of some days ago whose steps `done` have finished."""
    began = NOW - timedelta(days=age_days)
    run = f"{settings.artifact_url}/runs/{name}"
    write_run_info(run, RunInfo(run_id=name, as_of=began, started_at=began, publish=publish))
    for folder in (Path(run, "clean"), Path(settings.artifact_url, "snapshots", name)):
        folder.mkdir(parents=True)
    for step in done.split():
        write_marker(settings, run, step_of(step), inputs={}, started_at=began, seconds=1)


def kept_runs(settings: Settings) -> set[str]:
    new_run(settings, NEXT)
    kept = {kind: {path.name for path in Path(settings.artifact_url, kind).iterdir()} for kind in ("runs", "snapshots")}
    assert kept["runs"] == kept["snapshots"]
    return kept["runs"]


def test_failed_runs_push_out_no_good_run_and_have_a_bound_of_their_own(tmp_path: Path) -> None:
    settings = Settings(artifact_url=str(tmp_path), runs_kept=2, failed_runs_kept=1)
    for name, age in (("z-oldest", 30), ("y-older", 29), ("x-last-good", 28)):
        add_run(settings, name, age, done="bundle publish deploy sync")
    for night in range(7):
        # Each fails somewhere between its beginning and its deployment.
        add_run(settings, f"failed-{night}", 7 - night, done=("", "bundle", "bundle publish")[night % 3])
    assert kept_runs(settings) == {"y-older", "x-last-good", "failed-6"}


def test_a_run_that_has_deployed_its_model_is_good_although_its_snapshot_is_not_synced(tmp_path: Path) -> None:
    settings = Settings(artifact_url=str(tmp_path), runs_kept=1, failed_runs_kept=0)
    add_run(settings, "synced", 2, done="bundle publish deploy sync")
    add_run(settings, "deployed", 1, done="bundle publish deploy")
    assert kept_runs(settings) == {"deployed"}


def test_runs_that_only_make_a_bundle_do_not_push_out_the_deployed_one(tmp_path: Path) -> None:
    settings = Settings(artifact_url=str(tmp_path), runs_kept=2, failed_runs_kept=0)
    add_run(settings, "deployed", 30, done="bundle publish deploy sync")
    for number in range(3):
        add_run(settings, f"tried-{number}", 3 - number, publish=False, done="bundle")
    add_run(settings, "only-evaluated", 0, publish=False, done="evaluate")
    assert kept_runs(settings) == {"deployed", "tried-1", "tried-2"}


def test_the_age_of_a_run_is_that_of_its_start_not_of_its_name_or_data(tmp_path: Path) -> None:
    settings = Settings(artifact_url=str(tmp_path), runs_kept=1, failed_runs_kept=0)
    add_run(settings, "b-old", 2, done="bundle publish deploy sync")
    add_run(settings, "a-new", 1, done="bundle publish deploy sync")
    assert kept_runs(settings) == {"a-new"}


@pytest.mark.parametrize("unreadable", ["runs/synced/sync.done.json", "snapshots/synced/manifest.json"])
def test_a_snapshot_that_cannot_be_read_keeps_no_chain_and_stops_no_deletion(tmp_path: Path, unreadable: str) -> None:
    settings = Settings(artifact_url=str(tmp_path), runs_kept=1, failed_runs_kept=0, snapshot_incremental=True)
    add_run(settings, "oldest", 3, done="bundle publish deploy")
    add_run(settings, "synced", 2, done="bundle publish deploy sync")
    add_run(settings, "newest", 1, done="bundle publish deploy")
    snapshot = tmp_path / "snapshots" / "synced"
    write_snapshot(snapshot, "synced", NOW, [(1, b"a")])
    assert kept_runs(settings) == {"synced", "newest"}
    (tmp_path / unreadable).unlink()
    (tmp_path / unreadable).mkdir()
    add_run(settings, "another", 4, done="bundle publish deploy")
    with testing.captured() as captured:
        assert kept_runs(settings) == {"newest"}
    assert captured == []


def test_a_run_that_cannot_be_read_stays_and_stops_no_deletion(tmp_path: Path) -> None:
    settings = Settings(artifact_url=str(tmp_path), runs_kept=1, failed_runs_kept=0)
    for name, age in (("a-oldest", 3), ("b-unreadable", 2), ("c-newest", 1)):
        add_run(settings, name, age, done="bundle publish deploy")
    info = tmp_path / "runs" / "b-unreadable" / "run.json"
    info.unlink()
    info.mkdir()
    with testing.captured() as captured:
        assert kept_runs(settings) == {"b-unreadable", "c-newest"}
    assert captured == []


def test_a_store_that_deletes_nothing_is_a_warning_and_the_run_starts() -> None:
    away = f"ftp://127.0.0.1:{Ports.free().api}/artifacts"
    with testing.captured() as captured:
        assert new_run(Settings(artifact_url=away), NEXT) == f"{away}/runs/20260305T000000000000Z"
    (report,) = captured
    assert report.point_id == "pipeline.step_failed"
    assert report.level == "warning"
    assert report.fingerprint == ("pipeline", "prune", "ConnectionRefusedError")
    assert report.tags["critical"] == "false"


def test_an_empty_store_has_nothing_to_delete(tmp_path: Path) -> None:
    with testing.captured() as captured:
        new_run(Settings(artifact_url=str(tmp_path / "none")), NEXT)
    assert captured == []
