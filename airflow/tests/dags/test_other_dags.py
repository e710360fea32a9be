"""The hourly DAG, the one that follows the asset of the snapshot, and the weekly one."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dag_runs import asset_events, report_of, states
from fake_handover import FakeHandover
from marketplace import set_marketplace
from sqlalchemy import text

from monitoring import testing
from pipeline.business.database import open_engine
from pipeline.cli import main
from pipeline.errors import DataError
from pipeline.steps import steps
from pipeline.steps.snapshots import newest_snapshot


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a business database and the store of a training that was not handed over."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch, FakeHandover() as services:
        set_marketplace(patch, folder, services)
        assert main(["run", "--run-id", "trained", "--no-publish"]) == 0
    return folder


@pytest.fixture
def served(marketplace: str, services: FakeHandover, trained: Path, tmp_path: Path) -> FakeHandover:
    """The services with that model, and then a new dataset in the business database."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    assert main(["run", "--run-id", "trained", "--resume"]) == 0
    services.calls.clear()
    engine = open_engine(marketplace, "X")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO datasets (id, title, created_at, is_deleted) VALUES (900001, 'New', :at, 0)"),
            {"at": (datetime.now(UTC) - timedelta(minutes=5)).replace(tzinfo=None).isoformat(" ")},
        )
    engine.dispose()
    return services


def test_the_hourly_tasks_are_the_steps_of_a_refresh_with_a_gate_before_the_handover(dags: dict[str, Any]) -> None:
    dag = dags["incremental_update"]
    names = [task.task_id for task in dag.topological_sort()]
    wanted = [step.name for step in steps(publish=True, kind="refresh")]
    assert [name for name in names if name not in {"start", "gate", "report"}] == wanted[:-1]
    assert names.index("gate") == names.index("refresh_publish") - 1
    assert dag.get_task("report").is_teardown


def test_the_dags_run_one_at_a_time_never_for_the_past_and_wait_longer_after_each_try(dags: dict[str, Any]) -> None:
    from airflow.sdk import CronTriggerTimetable

    def cron(times: str) -> CronTriggerTimetable:
        return CronTriggerTimetable(times, timezone="UTC", run_immediately=timedelta(0))

    assert dags["incremental_update"].timetable == cron("30 * * * *")
    assert dags["weekly_report"].timetable == cron("0 7 * * 1")
    (consumed,) = dags["feature_sync"].timetable.asset_condition.objects
    assert consumed.uri == "snapshot://users/"
    for dag in dags.values():
        assert (dag.catchup, dag.max_active_runs, dag.start_date) == (False, 1, None)
        assert all((task.retries, task.retry_exponential_backoff) == (3, 2) for task in dag.tasks)


def test_the_weekly_report_is_due_in_the_configured_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import CronTriggerTimetable

    monkeypatch.setenv("TIMEZONE", "Asia/Shanghai")
    dag = DagBag(str(Path(__file__).parents[2] / "dags")).dags["weekly_report"]
    assert dag.timetable == CronTriggerTimetable("0 7 * * 1", timezone="Asia/Shanghai", run_immediately=timedelta(0))


@pytest.mark.parametrize("dag_id", ["incremental_update", "feature_sync", "weekly_report"])
def test_an_unknown_parameter_fails_the_run_and_is_named(
    dags: dict[str, Any], marketplace: str, services: FakeHandover, dag_id: str
) -> None:
    with testing.captured() as captured:
        run = dags[dag_id].test(run_conf={"snapshto": "x"})
    assert run.state == "failed"
    (report,) = captured.of("airflow.task_failed")
    assert "unknown 'snapshto'; this DAG knows" in report.message
    assert report.tags["try_number"] == "1"
    assert services.calls == []


def test_an_hourly_run_deploys_a_refresh_and_announces_its_snapshot(
    dags: dict[str, Any], served: FakeHandover, tmp_path: Path
) -> None:
    with testing.captured() as captured:
        run = dags["incremental_update"].test()
    assert set(states(run).values()) == {"success"}
    assert served.active["primary"]["version"] == "2"
    (event,) = asset_events(run, "refresh_deploy")
    (folder,) = (tmp_path / "artifacts" / "runs").glob("refresh-*")
    assert event == {
        "uri": "snapshot://users/",
        "extra": {"snapshot": str(tmp_path / "artifacts" / "snapshots" / folder.name)},
    }
    assert "刷新 refresh" in report_of(folder)
    # The sync is that of another DAG, and only a training ends the alert that no training succeeds.
    assert not [call for call in served.calls if "/sync" in call]
    assert captured == []
    assert "pipeline.no_recent_run" not in {each.point_id for each in captured.recovered}


def test_without_a_model_in_service_the_hourly_tasks_are_skipped(dags: dict[str, Any], marketplace: str) -> None:
    with testing.captured() as captured:
        run = dags["incremental_update"].test()
    found = states(run)
    assert (run.state, found.pop("start"), set(found.values())) == ("success", "success", {"skipped"})
    assert captured == []


def test_an_overtaken_hourly_run_ends_without_an_alarm_and_announces_nothing(
    dags: dict[str, Any], served: FakeHandover
) -> None:
    served.overtake_at = "POST /models/ranker/deployments"
    with testing.captured() as captured:
        run = dags["incremental_update"].test()
    assert (run.state, states(run)["refresh_publish"], states(run)["refresh_deploy"]) == (
        "success",
        "success",
        "skipped",
    )
    assert asset_events(run, "refresh_deploy") == []
    assert captured == []


def test_an_hourly_run_for_an_earlier_day_makes_its_bundle_and_deploys_nothing(
    dags: dict[str, Any], served: FakeHandover, tmp_path: Path
) -> None:
    run = dags["incremental_update"].test(logical_date=datetime.now(UTC) - timedelta(days=2))
    found = states(run)
    assert (run.state, found["refresh_bundle"]) == ("success", "success")
    assert {found[name] for name in ("gate", "refresh_publish", "refresh_deploy")} == {"skipped"}
    assert [call for call in served.calls if call.startswith("POST")] == []
    assert list(tmp_path.glob("artifacts/runs/refresh-*/bundle/bundle.tar.gz"))


def test_a_sync_by_hand_takes_the_snapshot_of_the_last_run_that_deployed(
    dags: dict[str, Any], served: FakeHandover, tmp_path: Path
) -> None:
    run = dags["feature_sync"].test()
    assert states(run) == {"sync": "success"}
    assert served.calls == ["POST /sync", "GET /sync/j-1"]
    wanted = str(tmp_path / "artifacts" / "snapshots" / "trained")
    assert wanted.encode() in served.bodies[-1]


def test_a_sync_that_failed_in_the_service_is_tried_again(dags: dict[str, Any], served: FakeHandover) -> None:
    served.failed_syncs = 1
    with testing.captured() as captured:
        run = dags["feature_sync"].test()
    assert states(run) == {"sync": "success"}
    assert served.calls == ["POST /sync", "GET /sync/j-1"] * 2
    assert captured.of("airflow.task_failed") == []


def test_a_sync_of_a_named_snapshot_and_without_any(
    dags: dict[str, Any], marketplace: str, services: FakeHandover, tmp_path: Path
) -> None:
    assert states(dags["feature_sync"].test()) == {"sync": "skipped"}
    assert states(dags["feature_sync"].test(run_conf={"snapshot": f"{tmp_path}/elsewhere"})) == {"sync": "success"}
    assert f"{tmp_path}/elsewhere".encode() in services.bodies[-1]


def test_of_several_events_the_newest_decides_and_one_without_an_address_is_an_error() -> None:
    def event(minute: int, extra: Any) -> Any:
        return SimpleNamespace(timestamp=datetime(2026, 3, 1, 12, minute, tzinfo=UTC), extra=extra)

    events = [event(2, {"snapshot": "b"}), event(3, {"snapshot": "c"}), event(1, {"snapshot": "a"})]
    assert newest_snapshot(events) == "c"
    assert newest_snapshot([]) is None
    for extra in (None, {}, {"snapshot": 7}):
        with pytest.raises(DataError, match="names no snapshot"):
            newest_snapshot([event(1, extra)])


def test_the_weekly_report_is_posted_for_the_week_that_is_named(
    dags: dict[str, Any], marketplace: str, tmp_path: Path
) -> None:
    run = dags["weekly_report"].test(run_conf={"week": "2026-W09"})
    assert states(run) == {"report": "success"}
    page = (tmp_path / "artifacts/weekly/2026-W09/report.html").read_text(encoding="utf-8")
    assert "2026-02-23 00:00 – 2026-03-02 00:00 UTC" in page
    run = dags["weekly_report"].test(run_conf={"week": "2026-W60"})
    assert states(run) == {"report": "failed"}
