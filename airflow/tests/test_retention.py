"""Old runs are deleted when a run starts; a failure of this costs no run."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from localservers.ports import Ports
from monitoring import testing
from pipeline.settings import Settings
from pipeline.steps import new_run

NOW = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A store with four runs and their snapshots, of which two are kept."""
    for kind in ("runs", "snapshots"):
        for day in (4, 1, 3, 2):
            (tmp_path / kind / f"2026030{day}T000000000000Z" / "clean").mkdir(parents=True)
    return Settings(artifact_url=str(tmp_path), runs_kept=2)


def names(folder: Path) -> list[str]:
    return sorted(path.name[:8] for path in folder.iterdir())


def test_the_newest_runs_and_snapshots_stay(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "runs" / ".20260301T000000000000Z.draft").mkdir()
    with testing.captured() as captured:
        assert new_run(settings, NOW) == f"{tmp_path}/runs/20260305T000000000000Z"
    assert names(tmp_path / "runs") == [".2026030", "20260303", "20260304"]
    assert names(tmp_path / "snapshots") == ["20260303", "20260304"]
    assert (tmp_path / "models").is_dir()
    assert captured == []


def test_a_store_that_deletes_nothing_is_a_warning_and_the_run_starts() -> None:
    away = f"ftp://127.0.0.1:{Ports.free().api}/artifacts"
    with testing.captured() as captured:
        assert new_run(Settings(artifact_url=away), NOW) == f"{away}/runs/20260305T000000000000Z"
    (report,) = captured
    assert report.point_id == "pipeline.step_failed"
    assert report.level == "warning"
    assert report.fingerprint == ("pipeline", "prune", "ConnectionRefusedError")
    assert report.tags["critical"] == "false"


def test_an_empty_store_has_nothing_to_delete(tmp_path: Path) -> None:
    with testing.captured() as captured:
        new_run(Settings(artifact_url=str(tmp_path / "none")), NOW)
    assert captured == []
