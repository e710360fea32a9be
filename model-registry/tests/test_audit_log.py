"""The audit log: no change without an entry, whatever else the database is busy with."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, create_engine, text
from starlette.requests import Request

import model_registry
from localservers.waiting import wait_until
from model_registry.database import lock_model
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from model_registry.tables import SCHEMA
from registryctl import cli
from running_registry import RunningRegistry
from servicekit.audit import AuditLog, AuditUnavailableError
from servicekit.database import migrate, open_database
from testkit.postgres import PostgresServer, running_server

TOKEN = "the-registry-token"
# More than the 15 connections of a pool.
_WAITING = 18


@contextmanager
def locked(url: str, statement: str | None = None) -> Iterator[Connection]:
    """Hold the lock of the model `ranker`, or that of a statement, for the length of a block."""
    engine = create_engine(url)
    with engine.connect() as connection:
        if statement is None:
            lock_model(connection, "ranker")
        else:
            connection.execute(text(statement))
        yield connection
        connection.rollback()
    engine.dispose()


@pytest.fixture
def running(postgres_url: str, tmp_path: Path, sandbox: Sandbox) -> Iterator[RunningRegistry]:
    settings = Settings(
        database_url=SecretStr(postgres_url), artifact_url=str(tmp_path / "artifacts"), registry_token=SecretStr(TOKEN)
    )
    with RunningRegistry(settings, sandbox) as registry:
        yield registry


def test_with_every_connection_in_use_calls_are_recorded_and_answer_503(
    running: RunningRegistry, postgres_url: str
) -> None:
    def entries() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = running.http.get("/audit").json()["entries"]
        return found

    with ThreadPoolExecutor(_WAITING) as threads:
        with locked(postgres_url):
            calls = [
                threads.submit(running.http.post, "/models/ranker/rollback", json={"mode": "canary"})
                for _ in range(_WAITING)
            ]
            wait_until(lambda: len(entries()) == _WAITING, within=4, what="all calls are in the log")
            answer = running.http.get("/models/ranker/active")
        statuses = sorted(call.result().status_code for call in calls)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert set(statuses) == {409, 503}
    assert sorted(entry["status"] for entry in entries()) == statuses


def test_a_change_without_an_entry_does_not_happen(running: RunningRegistry, postgres_url: str) -> None:
    with locked(postgres_url, "LOCK TABLE registry.audit_log"):
        made = running.http.post("/tokens", json={"name": "sly", "role": "admin"})
    assert (made.status_code, made.headers["Retry-After"]) == (503, "5")
    assert running.http.get("/tokens").json()["tokens"] == []
    assert running.http.post("/tokens", json={"name": "sly", "role": "reader"}).status_code == 201


def test_an_outcome_that_cannot_be_written_is_written_later() -> None:
    with running_server() as server:
        asyncio.run(_complete_during_an_outage(server))


async def _complete_during_an_outage(server: PostgresServer) -> None:
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)
        await asyncio.sleep(0.1)

    server.cluster.ensure_database("recsys")
    engine = open_database(server.cluster.url("recsys"), SCHEMA)
    migrate(engine, SCHEMA, Path(model_registry.__file__).parent / "migrations")
    log = AuditLog(engine, SCHEMA, "model-registry", sleep=sleep)
    request = Request({"type": "http", "path": "/tokens", "headers": [], "recsys.request_id": "req_1"})
    entry = await log.begin(request, "POST /tokens")
    server.stop()
    await log.complete(entry, 201, "li.wei", None)
    with pytest.raises(AuditUnavailableError):
        await log.begin(request, "POST /tokens")
    server.start()

    async def entries() -> list[tuple[int | None, str | None]]:
        return [(each.status, each.by) for each in await log.entries(10, 10**9)]

    for _ in range(100):
        if await entries() != [(None, None)]:
            break
        await asyncio.sleep(0.05)
    assert await entries() == [(201, "li.wei")]
    await log.close()
    assert delays[0] == 1.0


def test_the_log_has_the_status_that_a_failing_call_was_answered_with(running: RunningRegistry) -> None:
    answers = [
        running.http.delete("/tokens/nobody"),
        running.http.post("/tokens", json={"name": "-"}),
        running.http.post("/models/ranker/deployments", content=b"{"),
    ]
    entries = running.http.get("/audit").json()["entries"]
    assert [entry["status"] for entry in reversed(entries)] == [answer.status_code for answer in answers]


def test_history_lists_an_entry_once_and_shows_an_outcome_that_is_not_known(
    running: RunningRegistry, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running.http.post("/tokens", json={"name": "li.wei", "role": "reader"}).raise_for_status()
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE registry.audit_log SET status = NULL"))
    engine.dispose()
    also = ["--also", running.url, "--also", f"{running.url}/"]
    assert cli.main(["--url", running.url, "--token", TOKEN, "history", *also]) == cli.OK
    (line,) = capsys.readouterr().out.splitlines()
    assert "unknown  POST /tokens" in line
