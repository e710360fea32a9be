"""The DAG `recommendation_pipeline`: its structure, and runs over a small marketplace in SQLite."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dag_runs import asset_events, report_of, states, xcom
from fake_handover import PUBLIC_URL, FakeHandover

from monitoring import testing
from pipeline.business.database import open_engine
from pipeline.business.load import is_empty
from pipeline.steps import steps, to_run_id

DAGS = Path(__file__).parents[2] / "dags"
HANDOVER = [
    "POST /models/ranker/versions",
    "PUT /models/ranker/versions/1/evaluation",
    "POST /models/ranker/deployments",
]
PARSED = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
heavy = sorted({"lightgbm", "numpy", "pandas", "pyarrow", "scipy"} & set(sys.modules))
print(json.dumps({"errors": bag.import_errors, "dags": sorted(bag.dags), "heavy": heavy}))
"""


def test_every_dag_is_parsed_without_error_and_without_a_heavy_module() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARSED, str(DAGS)], capture_output=True, text=True, check=True, timeout=60
    )
    parsed = json.loads(done.stdout.splitlines()[-1])
    assert parsed["errors"] == {}
    assert parsed["dags"] == ["feature_sync", "incremental_update", "recommendation_pipeline", "weekly_report"]
    assert parsed["heavy"] == []


def test_its_tasks_are_the_steps_of_the_pipeline_with_a_gate_before_the_handover(dag: Any) -> None:
    names = [task.task_id for task in dag.topological_sort()]
    # The last step, the sync, is that of the DAG `feature_sync`.
    assert [name for name in names if name not in {"start", "skew", "gate", "report"}] == [
        step.name for step in steps(publish=True)[:-1]
    ]
    assert names.index("gate") < names.index("publish")
    assert all(len(task.upstream_list) <= 1 for task in dag.tasks)


def test_the_report_is_made_last_and_does_not_decide_about_the_run(dag: Any) -> None:
    report = dag.get_task("report")
    assert (report.upstream_task_ids, report.downstream_task_ids) == ({"deploy"}, set())
    assert report.is_teardown
    assert not report.on_failure_fail_dagrun


def test_it_runs_once_a_day_one_run_at_a_time_and_never_for_the_past(dag: Any) -> None:
    from airflow.sdk import CronTriggerTimetable

    assert dag.timetable == CronTriggerTimetable("0 3 * * *", timezone="UTC", run_immediately=timedelta(0))
    assert (dag.catchup, dag.max_active_runs, dag.start_date) == (False, 1, None)


def test_a_run_deploys_a_model(dag: Any, marketplace: str, services: FakeHandover) -> None:
    with testing.captured() as captured:
        run = dag.test()
    assert set(states(run).values()) == {"success"}
    assert services.calls == HANDOVER
    upload, deployment = services.bodies
    assert b'name="bundle"' in upload
    wanted = json.loads(deployment)
    assert wanted.pop("reason").startswith("training, run ")
    assert wanted == {"version": "1", "mode": "primary"}
    assert captured.of("airflow.task_failed") == []


def test_only_the_address_of_the_run_travels_between_tasks(dag: Any, marketplace: str) -> None:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    run = dag.test()
    with create_session() as session:
        returned = (XComModel.run_id == run.run_id, XComModel.key == "return_value")
        values = session.scalars(select(XComModel.value).where(*returned)).all()
    (address,) = set(values)
    assert Path(address, "bundle").is_dir()
    assert "succeeded" in report_of(Path(address))


def test_the_task_of_the_report_has_a_button_that_leads_to_its_page(
    dag: Any, marketplace: str, services: FakeHandover, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_URL", services.url)
    run = dag.test(run_conf={"min_ndcg": 1.0})
    button = xcom(run, "report", "_link_RunReportLink")
    assert button == f"{PUBLIC_URL}/reports/{to_run_id(run.run_id)}"
    assert [call.partition("?")[0] for call in services.calls] == [
        f"PUT /reports/{to_run_id(run.run_id)}",
        f"PUT /reports/{to_run_id(run.run_id)}/checks",
    ]


def test_the_deployed_version_with_its_metric_and_its_snapshot_are_on_the_assets(dag: Any, marketplace: str) -> None:
    model, snapshot = asset_events(dag.test(), "deploy")
    assert (model["uri"], snapshot["uri"]) == ("model://ranker/", "snapshot://users/")
    assert model["extra"]["version"] == "1"
    assert 0 <= model["extra"]["ndcg"] <= 1
    assert Path(snapshot["extra"]["snapshot"], "manifest.json").is_file()


def test_a_model_below_the_floor_is_not_handed_over(
    dag: Any, marketplace: str, services: FakeHandover, tmp_path: Path
) -> None:
    with testing.captured() as captured:
        run = dag.test(run_conf={"min_ndcg": 1.0, "full_extraction": True})
    found = states(run)
    assert (found["gate"], found["publish"], found["deploy"]) == ("failed", "upstream_failed", "upstream_failed")
    assert services.calls == []
    (report,) = captured.of("airflow.task_failed")
    assert report.fingerprint == ("airflow", "recommendation_pipeline", "gate")
    assert "min_ndcg asks for 1.0000" in report.message
    (folder,) = (tmp_path / "artifacts" / "runs").iterdir()
    assert "min_ndcg asks for 1.0000" in report_of(folder)
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["full_extraction"] is True


def test_bad_data_is_not_retried_and_the_report_names_the_check(dag: Any, marketplace: str, tmp_path: Path) -> None:
    from sqlalchemy import text

    with open_engine(marketplace, "BUSINESS_DATABASE_URL").begin() as connection:
        connection.execute(text("DELETE FROM interactions"))
    with testing.captured() as captured:
        run = dag.test()
    assert states(run)["quality"] == "failed"
    (report,) = captured.of("airflow.task_failed")
    assert (report.fingerprint[-1], report.tags["try_number"]) == ("quality", "1")
    assert (run.state, states(run)["report"]) == ("failed", "success")
    (folder,) = (tmp_path / "artifacts" / "runs").iterdir()
    page = report_of(folder)
    assert ">quality<" in page
    assert "interactions.empty" in page


def test_an_error_in_the_users_sql_names_file_and_line_and_is_not_reported_as_a_fault(
    dag: Any, marketplace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "datasets.sql").write_text("SELECT id,\n  title\nFORM datasets", encoding="utf-8")
    monkeypatch.setenv("EXTRACTION_SQL", str(tmp_path))
    with testing.captured() as captured:
        run = dag.test()
    assert states(run)["extract"] == "failed"
    (report,) = captured
    assert (report.point_id, report.tags["try_number"], report.level) == ("airflow.task_failed", "1", "error")
    assert str(report.error).startswith("datasets.sql:3: ")
    assert report.message.endswith(f"InputError: {report.error}")


def test_a_short_outage_of_a_service_is_retried(dag: Any, marketplace: str, services: FakeHandover) -> None:
    services.failures = 1
    with testing.captured() as captured:
        run = dag.test()
    assert set(states(run).values()) == {"success"}
    assert services.calls == [HANDOVER[0], *HANDOVER]
    assert captured.of("airflow.task_failed") == []


@pytest.mark.parametrize("has_tables", [True, False])
def test_over_an_empty_business_database_tasks_are_skipped_and_no_one_is_notified(
    dag: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_tables: bool
) -> None:
    url = f"sqlite:///{tmp_path}/business.db"
    engine = open_engine(url, "BUSINESS_DATABASE_URL")
    assert not has_tables or is_empty(engine)
    engine.connect().close()
    monkeypatch.setenv("BUSINESS_DATABASE_URL", url)
    monkeypatch.setenv("ARTIFACT_URL", str(tmp_path / "artifacts"))
    with testing.captured() as captured:
        run = dag.test()
    assert run.state == "success"
    found = states(run)
    assert (found.pop("start"), set(found.values())) == ("success", {"skipped"})
    assert captured == []


def test_data_that_has_disappeared_is_a_fault(dag: Any, marketplace: str, tmp_path: Path) -> None:
    from sqlalchemy import text

    (tmp_path / "artifacts/runs/20260101T000000000000Z/bundle").mkdir(parents=True)
    with open_engine(marketplace, "BUSINESS_DATABASE_URL").begin() as connection:
        for table in ("interactions", "datasets"):
            connection.execute(text(f"DELETE FROM {table}"))
    run = dag.test()
    assert states(run)["quality"] == "failed"


def test_an_unknown_parameter_fails_the_run_at_its_start_and_is_named(dag: Any, marketplace: str) -> None:
    with testing.captured() as captured:
        run = dag.test(run_conf={"min_ndgc": 0.5})
    assert (states(run)["start"], states(run)["extract"]) == ("failed", "upstream_failed")
    (report,) = captured.of("airflow.task_failed")
    assert "unknown 'min_ndgc'; this DAG knows 'min_ndcg', 'full_extraction'" in report.message
    assert report.tags["try_number"] == "1"


def test_a_run_has_the_id_of_the_dag_run_and_the_end_of_its_interval_as_its_moment(
    dag: Any, marketplace: str, tmp_path: Path
) -> None:
    moment = datetime.now(UTC) - timedelta(hours=2)
    run = dag.test(logical_date=moment)
    (folder,) = (tmp_path / "artifacts/runs").iterdir()
    assert folder.name == to_run_id(run.run_id)
    info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert datetime.fromisoformat(info["as_of"]) == moment
    assert (info["publish"], info["full_extraction"]) == (True, False)
    assert len(list(folder.glob("*.done.json"))) == len(steps(publish=True)[:-1])


def test_a_run_for_an_earlier_day_makes_its_bundle_and_deploys_nothing(
    dag: Any, marketplace: str, services: FakeHandover, tmp_path: Path
) -> None:
    moment = datetime.now(UTC) - timedelta(days=2)
    with testing.captured() as captured:
        run = dag.test(logical_date=moment)
    found = states(run)
    assert (run.state, found["bundle"]) == ("success", "success")
    assert {found[name] for name in ("gate", "publish", "deploy")} == {"skipped"}
    assert services.calls == []
    (manifest,) = tmp_path.glob("artifacts/runs/*/bundle/contents/manifest.json")
    made = json.loads(manifest.read_text(encoding="utf-8"))
    assert datetime.fromisoformat(made["created_at"]) == moment
    assert datetime.fromisoformat(made["data_window"]["end"]) <= moment + timedelta(seconds=1)
    # Rebuilding an earlier day does not mean that the nightly run works.
    assert [each for each in captured.recovered if each.point_id == "pipeline.no_recent_run"] == []


def test_retries_wait_longer_each_time_up_to_half_an_hour(dag: Any) -> None:
    for each in dag.tasks:
        assert each.retry_exponential_backoff == 2
        assert each.max_retry_delay == timedelta(minutes=30)
