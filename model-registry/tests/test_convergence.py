"""Replicas follow a switch at once and say what they serve; who doesn't follow is named, reported, and waited for."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

import monitoring.testing
from contracts.command_line import REFUSED
from contracts.convergence import Deployed, lagging_replicas
from contracts.deployments import ReplicaReport, ReplicaStatus
from localservers.waiting import wait_until
from model_registry.database import Database
from model_registry.deployments import replicas as replicas_module
from model_registry.deployments.convergence import ConvergenceWatch
from model_registry.deployments.endpoints import MAX_WAIT_SECONDS, parse_wait
from model_registry.deployments.replicas import Replicas
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from model_registry.tables import SCHEMA
from registryctl import cli
from running_registry import RunningRegistry
from servicekit.database import open_database

TOKEN = "the-registry-token"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACTIVE = "/models/ranker/active"


@pytest.fixture
def second_process(registry: RunningRegistry, sandbox: Sandbox) -> Iterator[RunningRegistry]:
    """Another process of the same registry: it shares only the database and the store."""
    with RunningRegistry(registry.settings, sandbox) as running:
        yield running


def wait_for_change(url: str, etag: str, seconds: int) -> tuple[httpx.Response, float]:
    """Return the answer to a request that may be held, and when it came."""
    headers = {"If-None-Match": etag, "Prefer": f"wait={seconds}"}
    answer = httpx.get(f"{url}{ACTIVE}", headers=headers, timeout=seconds + 10)
    return answer, time.monotonic()


def test_a_switch_made_by_another_process_answers_a_waiting_replica_within_a_second(
    registry: RunningRegistry, second_process: RunningRegistry, tmp_path: Path
) -> None:
    first, second = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2)
    registry.deploy(first)
    etag = registry.http.get(ACTIVE).headers["etag"]
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(wait_for_change, each.url, etag, 30) for each in (registry, second_process)]
        time.sleep(1)
        assert not any(each.done() for each in waiting)
        assert registry.deploy(second).status_code == 201
        committed = time.monotonic()
        for answer, at in (each.result() for each in waiting):
            assert (answer.status_code, answer.json()["primary"]["version"]) == (200, second)
            assert answer.headers["preference-applied"] == "wait=30"
            assert at - committed < 1.0


def test_without_a_change_the_answer_comes_at_the_end_of_the_wait_and_without_a_wait_at_once(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    registry.deploy(registry.push_new(tmp_path, seed=1))
    etag = registry.http.get(ACTIVE).headers["etag"]
    began = time.monotonic()
    answer, at = wait_for_change(registry.url, etag, 1)
    assert (answer.status_code, answer.headers["etag"], answer.content) == (304, etag, b"")
    assert 1.0 <= at - began < 5.0
    for headers in ({"If-None-Match": etag}, {"Prefer": "wait=30"}, {"If-None-Match": etag, "Prefer": "respond-async"}):
        assert "preference-applied" not in registry.http.get(ACTIVE, headers=headers, timeout=5).headers


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_waiter_whose_token_is_revoked_gets_no_further_answer(
    registry: RunningRegistry, sandbox: Sandbox, tmp_path: Path
) -> None:
    first, second = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2)
    registry.deploy(first)
    settings = registry.settings.model_copy(update={"public_reads": False})
    with RunningRegistry(settings, sandbox) as closed, ThreadPoolExecutor(1) as pool:
        made = closed.http.post("/tokens", json={"name": "api-1", "role": "replica"}).json()
        etag = closed.http.get(ACTIVE).headers["etag"]
        headers = {"Authorization": f"Bearer {made['token']}", "If-None-Match": etag, "Prefer": "wait=60"}
        waiting = pool.submit(httpx.get, f"{closed.url}{ACTIVE}", headers=headers, timeout=120)
        _wait_for_waiters(closed, 1)
        assert closed.http.delete("/tokens/api-1").status_code == 204
        closed.deploy(second).raise_for_status()
        answer = waiting.result()
    assert (answer.status_code, answer.headers.get("etag")) == (401, None)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, None),
        ("wait=30", 30),
        ('respond-async, WAIT="5"; x=1', 5),
        ("wait=99999", MAX_WAIT_SECONDS),
        ("await=3", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=" + "9" * 50, MAX_WAIT_SECONDS),
    ],
)
def test_the_wait_is_the_one_that_prefer_names_within_its_bound(prefer: str | None, seconds: int | None) -> None:
    assert parse_wait(prefer) == seconds


def _wait_for_waiters(registry: RunningRegistry, count: int) -> None:
    wanted = f"registry_waiting_requests {count:.1f}"
    wait_until(lambda: wanted in registry.http.get("/metrics").text, within=60, what=f"{count} callers wait")


def test_a_waiter_that_hangs_up_takes_no_place(registry: RunningRegistry, tmp_path: Path) -> None:
    registry.deploy(registry.push_new(tmp_path, seed=1))
    etag = registry.http.get(ACTIVE).headers["etag"]
    address = httpx.URL(registry.url)
    lines = ("GET " + ACTIVE + " HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", f"If-None-Match: {etag}")
    request = "\r\n".join((*lines, "Prefer: wait=60", "", "")).encode()
    callers = [socket.create_connection((address.host, address.port or 0)) for _ in range(3)]
    for each in callers:
        each.sendall(request)
    _wait_for_waiters(registry, 3)
    for each in callers:
        each.close()
    _wait_for_waiters(registry, 0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("sent", ["W/{}", '"other", {}', '"a,b",W/{}', "*"])
def test_weak_tags_lists_and_the_star_are_matched_and_wait_as_a_single_tag_does(
    registry: RunningRegistry, tmp_path: Path, sent: str
) -> None:
    registry.deploy(registry.push_new(tmp_path, seed=1))
    etag = registry.http.get(ACTIVE).headers["etag"]
    answer, _ = wait_for_change(registry.url, sent.format(etag), 1)
    assert (answer.status_code, answer.headers["etag"]) == (304, etag)
    assert answer.headers["preference-applied"] == "wait=1"
    for none in (f"W/{etag[1:-1]}", '"other"', ""):
        assert registry.http.get(ACTIVE, headers={"If-None-Match": none}).status_code == 200


def test_waiters_cost_no_thread_and_hold_up_no_other_answer(registry: RunningRegistry, tmp_path: Path) -> None:
    first, second = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2)
    registry.deploy(first)
    etag = registry.http.get(ACTIVE).headers["etag"]

    async def hold(count: int) -> tuple[list[int], int]:
        headers = {"If-None-Match": etag, "Prefer": "wait=60"}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=registry.url, timeout=90, limits=limits) as http:
            waiting = [asyncio.create_task(http.get(ACTIVE, headers=headers)) for _ in range(count)]
            await asyncio.sleep(2)
            threads = threading.active_count()
            assert not any(task.done() for task in waiting)
            # More than the pool of database connections could serve.
            assert (await http.get("/models/ranker")).status_code == 200
            deployed = await asyncio.to_thread(registry.deploy, second)
            assert deployed.status_code == 201
            return [(await task).status_code for task in waiting], threads

    before = threading.active_count()
    statuses, during = asyncio.run(hold(150))
    assert set(statuses) == {200}
    # Those of the pool that a server has anyway.
    assert during - before < 50


def report(registry: RunningRegistry, replica: str, **fields: Any) -> None:
    body = {"state": "serving", "since": "2026-01-01T00:00:00Z", "version": None} | fields
    assert registry.http.put(f"/models/ranker/replicas/{replica}", json=body).status_code == 204


def test_a_replica_says_of_each_mode_what_it_serves_and_why_not_what_is_deployed(registry: RunningRegistry) -> None:
    report(registry, "api-1", version="1", deployment_id="7")
    report(registry, "api-1", mode="canary", state="failed", error="version 2: load: \x00no model" + "x" * 1000)
    report(registry, "api-1", version="3", deployment_id="9", later_release="ignored")
    canary, primary = registry.http.get("/models/ranker/deployments").json()["replicas"]
    assert (primary["mode"], primary["deployment_id"], primary["version"], primary["error"]) == (
        "primary",
        "9",
        "3",
        None,
    )
    assert (canary["mode"], canary["deployment_id"], canary["state"]) == ("canary", None, "failed")
    assert canary["error"].startswith("version 2: load: \N{REPLACEMENT CHARACTER}no model")
    assert len(canary["error"]) == 500


@contextmanager
def database_of(registry: RunningRegistry) -> Iterator[tuple[Database, sa.Engine]]:
    engine = open_database(registry.settings.database_url.get_secret_value(), SCHEMA)
    yield Database(engine), engine
    engine.dispose()


def test_reports_of_replicas_that_are_gone_expire_and_invented_names_are_bounded(
    registry: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas_module, "MAX_REPORTS", 5)
    with database_of(registry) as (database, engine):
        stored = Replicas(database)
        said = ReplicaReport(version="1", state="serving", since=NOW)
        for number in range(8):
            stored.put("ranker", f"api-{number}", said)
        assert [row.replica_id for row in stored.of("ranker")] == [f"api-{number}" for number in range(3, 8)]
        with engine.begin() as connection:
            table = replicas_module.replicas
            old = datetime.now(UTC) - replicas_module.SILENCE - timedelta(seconds=1)
            connection.execute(sa.update(table).where(table.c.replica_id != "api-7").values(reported_at=old))
        assert [row.replica_id for row in stored.of("ranker")] == ["api-7"]
        stored.put("ranker", "api-7", said)
        with engine.connect() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 1


def test_who_does_not_follow_is_reported_after_the_deadline_once_and_the_recovery_when_all_follow(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    first, second = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2)
    old = registry.deploy(first).json()["deployment_id"]
    new = registry.deploy(second).json()["deployment_id"]
    report(registry, "api-1", version=second, deployment_id=new)
    report(registry, "api-2", version=first, deployment_id=old, state="failed", error="version 2: load: no model")
    clock = [0.0]
    with database_of(registry) as (database, _), monitoring.testing.captured() as reports:
        watch = ConvergenceWatch(database, Replicas(database), 60, clock=lambda: clock[0])
        for clock[0] in (0.0, 60.0, 60.5, 70.0):
            watch.review()
        (late,) = reports
        assert (late.point_id, late.level) == ("model.not_converged", "error")
        assert late.fingerprint == ("model", "not_converged", "deployment")
        assert late.message.endswith("api-2: version 2: load: no model")
        assert (late.tags["model_version"], late.tags["deployment_id"], late.tags["replicas"]) == (second, new, "1")
        assert watch.check().status == "degraded"

        restored = registry.http.post("/models/ranker/rollback").json()["deployment_id"]
        report(registry, "api-2", version=first, deployment_id=restored)
        for clock[0] in (80.0, 141.0):
            watch.review()
        assert [each.fingerprint[-1] for each in reports] == ["deployment", "rollback"]
        assert "api-1: serves version 2" in reports[-1].message
        assert "model.not_converged" not in {each.point_id for each in reports.recovered}

        report(registry, "api-1", version=first, deployment_id=restored)
        watch.review()
        assert "model.not_converged" in {each.point_id for each in reports.recovered}
        assert watch.check().status == "healthy"


def status(replica: str, mode: str = "primary", **fields: Any) -> ReplicaStatus:
    return ReplicaStatus.model_validate(
        {"replica_id": replica, "mode": mode, "version": None, "state": "serving", "since": NOW, "reported_at": NOW}
        | fields
    )


def test_a_replica_of_the_release_before_is_compared_by_its_version_and_not_asked_for_a_canary() -> None:
    old = status("old", version="2")
    new = status("new", version="2", deployment_id="7")
    assert lagging_replicas(Deployed("7", "2", "primary"), [old, new]) == {}
    assert lagging_replicas(Deployed("8", "3", "primary"), [old, new]) == dict.fromkeys(
        ("new", "old"), "serves version 2"
    )
    assert lagging_replicas(Deployed("9", "3", "canary"), [old, new]) == {"new": "reports no canary"}
    canary = status("new", "canary", version="3", deployment_id="9")
    assert lagging_replicas(Deployed("9", "3", "canary"), [old, new, canary]) == {}


def test_deploy_waits_until_all_replicas_serve_and_names_those_that_do_not(
    registry: RunningRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        registry.push_new(tmp_path, seed=seed)
    command = ["--url", registry.url, "--token", TOKEN]
    assert cli.main([*command, "deploy", "1", "--wait", "0"]) == REFUSED
    assert "no replica has reported within 0 s" in capsys.readouterr().err
    for replica in ("api-1", "api-2"):
        report(registry, replica, version="1")

    def follow() -> None:
        time.sleep(1)
        served = registry.http.get(ACTIVE).json()["primary"]
        for replica in ("api-1", "api-2"):
            report(registry, replica, version=served["version"], deployment_id=served["deployment_id"])

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow)
        assert cli.main([*command, "deploy", "2", "--wait", "30"]) == cli.OK
        following.result()
    assert "all 2 replicas serve it: api-1, api-2" in capsys.readouterr().out
    report(registry, "api-2", version="2", deployment_id="2", state="failed", error="version 1: download: no route")
    assert cli.main([*command, "rollback", "--wait", "0.1"]) == REFUSED
    said = capsys.readouterr().err
    assert "2 of 2 replicas don't serve it after 0.1 s: api-1: serves version 2; api-2: version 1: download" in said


def test_a_repeat_after_a_lost_answer_is_the_same_step(registry: RunningRegistry, tmp_path: Path) -> None:
    first, second = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2)
    registry.deploy(first)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("deployments", {"version": second, "expected_active": first}),
        ("deployments", {"version": first, "mode": "canary", "rollout": 0.1, "expected_active": second}),
        ("rollback", {"expected_active": second}),
    ]
    for path, body in steps:
        answers = [registry.http.post(f"/models/ranker/{path}", json=body) for _ in range(2)]
        assert [each.status_code for each in answers] == [201, 201], answers[-1].text
        assert answers[0].json() == answers[1].json()
    assert registry.active() == first
    lines = registry.http.get("/models/ranker/deployments").json()["deployments"]
    assert len(lines) == 4
    # Another step from the same beginning is none of these.
    other = registry.deploy(second, expected_active=second)
    assert (other.status_code, "in service is 1" in other.json()["detail"]) == (409, True)


def test_reports_of_the_release_before_stay_after_the_migration(
    database_url: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    settings = Settings(
        database_url=SecretStr(database_url),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
    )
    with RunningRegistry(settings, sandbox) as registry:
        report(registry, "api-1", version="1")
    engine = open_database(database_url, SCHEMA)
    schema = "" if engine.dialect.name == "sqlite" else "registry."
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP TABLE {schema}replicas"))
        connection.execute(
            sa.text(
                f"CREATE TABLE {schema}replicas (model VARCHAR(63), replica_id VARCHAR(128), version VARCHAR(32), "
                "state VARCHAR(32) NOT NULL, since TIMESTAMP NOT NULL, reported_at TIMESTAMP NOT NULL, "
                "CONSTRAINT replicas_pkey PRIMARY KEY (model, replica_id))"
            )
        )
        connection.execute(
            sa.text(
                f"INSERT INTO {schema}replicas VALUES "
                "('ranker', 'api-1', '1', 'serving', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
            )
        )
        connection.execute(sa.text(f"DROP TABLE {schema}audit_log"))
        connection.execute(sa.text(f"UPDATE {schema}alembic_version SET version_num = '0004'"))
    engine.dispose()
    with RunningRegistry(settings, sandbox) as registry:
        (kept,) = registry.http.get("/models/ranker/deployments").json()["replicas"]
        assert (kept["replica_id"], kept["mode"], kept["version"]) == ("api-1", "primary", "1")
        report(registry, "api-1", mode="shadow", version="2", deployment_id="3")
        assert len(registry.http.get("/models/ranker/deployments").json()["replicas"]) == 2
