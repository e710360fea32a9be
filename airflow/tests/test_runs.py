"""What a run is: its id, and the moment that its data stands at."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from threadpoolctl import threadpool_info

from monitoring import testing
from pipeline.business.content import Content
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.cli import main
from pipeline.errors import InputError, PipelineError
from pipeline.extract import AsOf, extract, open_business, open_event_log
from pipeline.quality import clean
from pipeline.settings import Settings
from pipeline.steps import (
    RunInfo,
    begin_run,
    check_run_id,
    continue_run,
    find_run,
    load_run_info,
    run_step,
    time_run_id,
    to_run_id,
)
from pipeline.steps.run import Step

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SNAPSHOT_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
AIRFLOW_IDS = (
    "scheduled__2026-03-01T03:00:00+00:00",
    "scheduled__2026-03-01T03:00:00-00:00",
    "scheduled__2026-03-01T03:00:00 00:00",
    "manual__2026-03-01T03:00:00.123456+00:00_AbCd1234",
    "manual__2026-03-01T03:00:00.123456+00:00_AbCd1235",
    "夜间",
    "白天",
    "../x",
    "-x",
    "x" * 250,
    "x" * 249 + "y",
    "",
)


@pytest.mark.parametrize("run_id", ["a", "7", "20260301T120000000000Z", "Nightly_2026-03.01", "a" * 48])
def test_a_run_id_of_letters_digits_and_three_signs_is_used_as_it_is(run_id: str) -> None:
    assert check_run_id(run_id) == to_run_id(run_id) == run_id


@pytest.mark.parametrize("run_id", ["", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "é", "夜间", "a:b", "a" * 49])
def test_another_run_id_is_rejected_with_the_accepted_form(run_id: str) -> None:
    with pytest.raises(InputError, match=r"write 1 to 48 letters, digits, '\.', '_' and '-'"):
        check_run_id(run_id)


def test_different_ids_of_airflow_stay_different_and_fit_into_the_versions() -> None:
    made = [to_run_id(each) for each in AIRFLOW_IDS]
    assert len(set(made)) == len(AIRFLOW_IDS)
    assert all(check_run_id(each) == each for each in made)
    assert all(SNAPSHOT_VERSION.fullmatch(f"{each}-0123456789ab") for each in made)
    assert made[0].startswith("scheduled__2026-03-01T03-00-00-00-00-")


def test_ids_by_time_sort_by_time() -> None:
    moments = [NOW + timedelta(microseconds=each) for each in (0, 1, 10**6, 10**9, 10**12)]
    assert [time_run_id(each) for each in moments] == sorted(time_run_id(each) for each in moments)


def info(run_id: str, started_at: datetime = NOW) -> RunInfo:
    return RunInfo(run_id=run_id, as_of=NOW - HOUR, started_at=started_at)


@pytest.fixture(params=["local", "remote"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    address = str(tmp_path / "artifacts") if request.param == "local" else f"memory://{tmp_path.name}"
    return Settings(artifact_url=address)


def test_a_run_begins_once_and_keeps_its_moment_when_it_is_continued(settings: Settings) -> None:
    run = begin_run(settings, info("r-1"))
    assert find_run(settings, "r-1") == (run, info("r-1"))
    with pytest.raises(InputError, match=r"there is a run r-1 already: continue it by --resume"):
        begin_run(settings, info("r-1"))
    assert continue_run(settings, "r-1", now=NOW + HOUR, publish=False) == run
    expected = info("r-1", NOW + HOUR).model_copy(update={"publish": False})
    assert load_run_info(run) == expected


def test_a_store_that_fails_as_a_run_begins_is_reported(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("not a folder")
    with testing.captured() as reports, pytest.raises(OSError, match="artifacts"):
        begin_run(Settings(artifact_url=str(tmp_path / "artifacts")), info("r-1"))
    assert "pipeline.critical_step_failed" in reports.point_ids


def test_an_unknown_run_is_rejected_with_those_that_there_are(settings: Settings) -> None:
    with pytest.raises(InputError, match="there is no run r-2 below ARTIFACT_URL; there is none at all"):
        find_run(settings, "r-2")
    begin_run(settings, info("r-1"))
    with pytest.raises(InputError, match="there is no run r-2 below ARTIFACT_URL; the last by name are r-1"):
        continue_run(settings, "r-2", now=NOW)
    with pytest.raises(PipelineError, match=r"r-2/run\.json: missing"):
        load_run_info(f"{settings.artifact_url}/runs/r-2")


def ids(folder: Path, table: str) -> set[int]:
    column = "dataset_id" if table == "interactions" else "id"
    return set(pq.read_table(folder / f"{table}.parquet")[column].to_pylist())


def test_rows_after_the_runs_moment_do_not_enter_from_any_table(content: Content, tmp_path: Path) -> None:
    """Ids 900001 are of the last moment, 900002 later, 900003 in the future, which only the quality checks judge."""
    url = f"sqlite:///{tmp_path / 'business.db'}"
    engine = open_engine(url, "X")
    replace_content(engine, content)
    moments = {900001: NOW, 900002: NOW + HOUR, 900003: NOW + 3 * HOUR, 900004: None}
    events = open_engine(f"sqlite:///{tmp_path / 'log.db.events'}", "X")
    with engine.begin() as business, events.begin() as log:
        log.execute(
            text(
                "CREATE TABLE behavior_events "
                "(event_id TEXT, type TEXT, user_id INT, dataset_id INT, ts TEXT, received_at TEXT)"
            )
        )
        for number, moment in moments.items():
            at = None if moment is None else moment.replace(tzinfo=None).isoformat(" ")
            business.execute(text("INSERT INTO users (id, created_at) VALUES (:id, :at)"), {"id": number, "at": at})
            business.execute(
                text("INSERT INTO datasets (id, title, created_at, is_deleted) VALUES (:id, 'x', :at, 0)"),
                {"id": number, "at": at},
            )
            if at is not None:
                row = f"VALUES ({number}, 1, :id, 'view', :at)"
                for connection, table, offset in ((business, "interactions", 0), (log, "behavior_events", 100)):
                    key = "event_id" if offset else "id"
                    connection.execute(
                        text(f"INSERT INTO {table} ({key}, user_id, dataset_id, type, ts) {row}"),
                        {"id": number + offset, "at": at},
                    )
    engine.dispose()
    events.dispose()
    log_of_events = open_event_log(SecretStr(f"sqlite:///{tmp_path / 'log.db'}"))
    assert log_of_events is not None
    extracted, cleaned = tmp_path / "extract", tmp_path / "clean"
    extracted.mkdir()
    cleaned.mkdir()
    with open_business(SecretStr(url)) as business_database, log_of_events as log_database:
        counts = extract(business_database, log_database, None, extracted, as_of=AsOf(NOW, NOW + 2 * HOUR))
    for table in ("users", "datasets"):
        assert {each for each in ids(extracted, table) if each > 900_000} == {900001, 900003, 900004}
    found = {each for each in ids(extracted, "interactions") if each > 900_000}
    assert found == {900001, 900003, 900101, 900103}
    assert counts["events"] == 2
    future = {each.check: each.severity for each in clean(extracted, cleaned, NOW)}
    assert future["interactions.future_ts"] == "warning"


def test_a_moment_in_the_future_or_without_a_zone_is_rejected(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARTIFACT_URL", str(tmp_path))
    assert main(["run", "--as-of", "2999-01-01T00:00:00Z"]) == 2
    assert "--as-of 2999-01-01T00:00:00Z lies in the future" in capfd.readouterr().err
    for moment in ("2026-01-01", "yesterday", "2026-01-01T00:00:00"):
        with pytest.raises(SystemExit, match="2"):
            main(["run", "--as-of", moment])
        assert "a time is a text in ISO 8601 with a zone" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("hours_ago", "options", "publishes"),
    [(1, (), True), (1, ("--no-publish",), False), (25, (), False), (25, ("--publish",), True)],
)
@pytest.mark.parametrize("resumed", [False, True])
def test_a_run_as_of_more_than_a_day_ago_deploys_only_if_that_is_asked_for(
    hours_ago: int,
    options: tuple[str, ...],
    publishes: bool,
    resumed: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ARTIFACT_URL", str(tmp_path / "artifacts"))
    monkeypatch.setenv("BUSINESS_DATABASE_URL", f"sqlite:///{tmp_path}/missing/business.db")
    as_of = (datetime.now(UTC) - hours_ago * HOUR).isoformat()
    # The run begins, and ends at the database that is not there.
    assert main(["run", "--run-id", "r-1", "--as-of", as_of, *(() if resumed else options)]) != 0
    if resumed:
        assert main(["run", "--run-id", "r-1", "--resume", *options]) != 0
    assert load_run_info(f"{tmp_path}/artifacts/runs/r-1").publish is publishes


def test_a_step_computes_with_as_many_threads_as_are_set_on_any_machine(tmp_path: Path) -> None:
    threads: list[int] = []

    def observe(settings: Settings, run: str) -> str:
        threads.extend(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return run

    settings = Settings(artifact_url=str(tmp_path), training_threads=1)
    run = begin_run(settings, RunInfo(run_id="threads", as_of=NOW, started_at=NOW, publish=False))
    for number in (1, 2):
        threads.clear()
        run_step(settings.model_copy(update={"training_threads": number}), run, Step("observe", observe, (), ()))
        assert set(threads) == {number}
