"""The page of the audit logs: what was changed in every service, newest first, for who has signed in."""

import asyncio
import html
import json
import random
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from contracts.audit import AuditEntry
from localservers.waiting import wait_until
from notification_gateway.app import create_app
from notification_gateway.dashboard.audit_logs import (
    PAGE_ENTRIES,
    SEARCHED_ENTRIES,
    AuditedService,
    AuditFilter,
    AuditLogs,
    ReadEntries,
)
from running_gateway import ADMIN, settings
from testkit.running_app import RunningApp

AT = datetime(2026, 11, 24, 3, 10, tzinfo=UTC)
READ_TOKEN = "the-read-token"


def entry(number: int, service: str = "model-registry", **fields: Any) -> AuditEntry:
    return AuditEntry.model_validate(
        {
            "id": number,
            "at": AT + timedelta(minutes=number),
            "service": service,
            "token": "ci-main",
            "action": "POST /models/{name}/deployments",
            "target": "/models/ranker/deployments",
            "status": 201,
            "by": "li.wei",
            "reason": f"reason {number} of {service}.",
            "request_id": "req_1",
        }
        | fields
    )


class AuditedServer(ThreadingHTTPServer):
    """A service with an audit log, for callers with one token."""

    daemon_threads = True

    def __init__(self, token: str, entries: Sequence[AuditEntry] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = token
        self.entries = entries
        self.calls = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> "AuditedServer":
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def answer(self, path: str, query: Mapping[str, list[str]], token: str) -> tuple[int, dict[str, Any]]:
        if path != "/audit":
            return 404, {}
        self.calls += 1
        if token != f"Bearer {self.token}":
            return 401, {}
        found = newest(self.entries, int(query["limit"][0]), int(query["before"][0]))
        return 200, {"entries": [each.model_dump(mode="json") for each in found]}


class _Handler(BaseHTTPRequestHandler):
    server: AuditedServer

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        status, body = self.server.answer(asked.path, parse_qs(asked.query), self.headers["Authorization"])
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so in the base class
        """Silence."""


def newest(entries: Sequence[AuditEntry], limit: int, before: int) -> list[AuditEntry]:
    """Return what `GET /audit` returns of these entries."""
    assert limit <= 1000
    return sorted((each for each in entries if each.id < before), key=lambda each: each.id, reverse=True)[:limit]


@pytest.fixture
def registry() -> Iterator[AuditedServer]:
    with AuditedServer(READ_TOKEN) as server:
        yield server


@pytest.fixture
def feature_sync() -> Iterator[AuditedServer]:
    with AuditedServer(ADMIN) as server:
        yield server


@pytest.fixture
def running(sqlite_url: str, registry: AuditedServer, feature_sync: AuditedServer) -> Iterator[RunningApp]:
    sources = {"registry_url": registry.url, "feature_sync_url": feature_sync.url}
    configured = settings(sqlite_url, registry_read_token=SecretStr(READ_TOKEN), **sources)
    with RunningApp(create_app(configured)) as running:
        yield running


def sign_in(running: RunningApp) -> None:
    signed = running.http.post("/dashboard/session", data={"token": ADMIN, "back": "audit"})
    assert signed.headers["Location"] == "/dashboard/audit"


def page(running: RunningApp, query: str = "", lang: str = "en", missing: Sequence[str] = ()) -> str:
    """Return the page once only these logs are missing: on a busy machine, others may take longer than two seconds."""
    running.http.cookies.set("dashboard_language", lang)
    shown = ""

    def is_complete() -> bool:
        nonlocal shown
        answer = running.http.get(f"/dashboard/audit{query}")
        assert answer.status_code == 200, answer.text
        shown = answer.text
        return re.findall(r"<p><b>([a-z-]+)</b>", shown) == list(missing)

    wait_until(is_complete, within=60, every=0.2, what=f"the page without the logs {missing}")
    return shown


def silence(running: RunningApp, reason: str) -> None:
    body = {"matcher": {"service": "feature-sync"}, "minutes": 5, "reason": reason, "created_by": "zhang.san"}
    answer = running.post("/silences", body, token=ADMIN)
    assert answer.status_code == 201, answer.text


def reasons(shown: str) -> list[str]:
    return re.findall(r"reason \d+ of [a-z-]+", shown)


def older(shown: str) -> str | None:
    link = re.search(r'<a href="(\?[^"]*before=[^"]*)"', shown)
    return html.unescape(link[1]) if link else None


def walk(
    logs: Mapping[AuditedService, Sequence[AuditEntry]], wanted: AuditFilter
) -> tuple[list[AuditEntry], list[int]]:
    """Follow the cursors to the end; return all entries, and how many each page had."""

    def reader(entries: Sequence[AuditEntry]) -> ReadEntries:
        async def read(limit: int, before: int) -> list[AuditEntry]:
            return newest(entries, limit, before)

        return read

    async def follow() -> tuple[list[AuditEntry], list[int]]:
        reading = AuditLogs({service: reader(entries) for service, entries in logs.items()})
        found: list[AuditEntry] = []
        sizes: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            merged = (await reading.read(wanted, cursor)).merged
            found += merged.entries
            sizes.append(len(merged.entries))
            cursor = merged.older
        return found, sizes

    return asyncio.run(follow())


def some_logs(seed: int) -> dict[AuditedService, list[AuditEntry]]:
    """Return logs of different lengths, in which many entries have the same time."""
    drawn = random.Random(seed)
    lengths: dict[AuditedService, int] = {
        "model-registry": 137,
        "feature-sync": drawn.randint(0, 9),
        "notification-gateway": 50,
    }
    return {
        service: [
            entry(number, service, at=AT + timedelta(seconds=at), token=drawn.choice(["ci-main", "li.wei-laptop"]))
            for number, at in enumerate(sorted(drawn.choices(range(20), k=length)), start=1)
        ]
        for service, length in lengths.items()
    }


@pytest.mark.parametrize("seed", range(5))
def test_no_entry_is_lost_or_repeated_where_many_have_the_same_time(seed: int) -> None:
    logs = some_logs(seed)
    found, sizes = walk(logs, AuditFilter())
    assert sorted((each.service, each.id) for each in found) == sorted(
        (each.service, each.id) for entries in logs.values() for each in entries
    )
    assert [each.at for each in found] == sorted((each.at for each in found), reverse=True)
    assert sizes[:-1] == [PAGE_ENTRIES] * (len(sizes) - 1)


def test_a_last_page_that_is_full_leads_nowhere() -> None:
    assert walk({"feature-sync": [entry(number) for number in range(1, 51)]}, AuditFilter())[1] == [50]


def test_a_token_is_searched_for_in_all_logs_in_the_order_of_time() -> None:
    rare = [
        entry(number, token="rare" if number % 700 == 0 else "ci-main", at=AT + timedelta(minutes=number))
        for number in range(1, 3 * SEARCHED_ENTRIES)
    ]
    others = [
        entry(number, "feature-sync", token="rare", at=AT + timedelta(minutes=600 * number)) for number in range(1, 5)
    ]
    found, _ = walk({"model-registry": rare, "feature-sync": others}, AuditFilter(token="rare"))
    assert [(each.service, each.id) for each in found] == [
        ("model-registry", 2800),
        ("feature-sync", 4),
        ("model-registry", 2100),
        ("feature-sync", 3),
        ("model-registry", 1400),
        ("feature-sync", 2),
        ("model-registry", 700),
        ("feature-sync", 1),
    ]


def test_who_has_signed_in_sees_the_entries_of_all_services_page_by_page(
    running: RunningApp, registry: AuditedServer, feature_sync: AuditedServer
) -> None:
    registry.entries = [entry(number) for number in range(1, 61)]
    feature_sync.entries = [entry(30, "feature-sync", status=None)]
    silence(running, "reason 1 of notification-gateway")
    signed_out = page(running)
    assert "Sign in below" in signed_out
    assert "ci-main" not in signed_out
    assert registry.calls == 0
    sign_in(running)
    first = page(running)
    assert '<a href="/dashboard/audit" aria-current="page">Audit log</a>' in first
    for part in (
        "ci-main<br><small>li.wei</small>",
        "ADMIN_TOKEN<br><small>zhang.san</small>",
        "<code>POST /models/{name}/deployments</code><br><small>/models/ranker/deployments</small>",
        # 04:10 UTC in the zone of the page.
        "2026-11-24 12:10:00",
    ):
        assert part in first
    link = older(first)
    assert link is not None
    second = page(running, link)
    expected = [f"reason {number} of model-registry" for number in range(60, 0, -1)]
    # Equal times: the registry comes first.
    expected.insert(expected.index("reason 30 of model-registry") + 1, "reason 30 of feature-sync")
    found = reasons(first) + reasons(second)
    # The gateway's own time is that of the test's run.
    found.remove("reason 1 of notification-gateway")
    assert found == expected
    assert "<td>unknown</td>" in first + second
    assert older(second) is None
    assert "更早" in page(running, lang="zh")


def test_it_is_filtered_by_service_and_by_token_and_names_a_service_that_rejects_it(
    running: RunningApp, registry: AuditedServer, feature_sync: AuditedServer
) -> None:
    registry.entries = [entry(1), entry(2, token="li.wei-laptop")]
    feature_sync.entries = [entry(3, "feature-sync", token="li.wei-laptop")]
    sign_in(running)
    assert reasons(page(running, "?service=feature-sync&token=")) == ["reason 3 of feature-sync"]
    assert registry.calls == 0
    shown = page(running, "?service=&token=li.wei-laptop")
    assert reasons(shown) == ["reason 3 of feature-sync", "reason 2 of model-registry"]
    assert 'value="li.wei-laptop"' in shown
    assert running.http.get("/dashboard/audit?service=redis").status_code == 422
    assert running.http.get("/dashboard/audit?before=model-registry.0").status_code == 422
    registry.token = "another"
    shown = page(running, missing=["model-registry"])
    assert "<b>model-registry</b>: its log could not be read (HTTP 401)" in shown
    assert reasons(shown) == ["reason 3 of feature-sync"]


def test_a_source_that_does_not_answer_is_named_and_the_others_are_shown(
    sqlite_url: str, feature_sync: AuditedServer
) -> None:
    feature_sync.entries = [entry(1, "feature-sync")]
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        configured = settings(sqlite_url, registry_url=address, feature_sync_url=feature_sync.url)
        running = stack.enter_context(RunningApp(create_app(configured)))
        silence(running, "reason 1 of notification-gateway")
        sign_in(running)
        shown = page(running, missing=["model-registry"])
    assert "<b>model-registry</b>: its log could not be read (" in shown
    assert sorted(reasons(shown)) == ["reason 1 of feature-sync", "reason 1 of notification-gateway"]


def test_texts_of_others_are_escaped_and_cut_so_that_a_page_stays_below_100_kb(
    running: RunningApp, registry: AuditedServer
) -> None:
    hostile = "<script>alert('1')</script>" + "'" * 4000
    fields = {"reason": hostile, "by": hostile[:200], "token": hostile[:200], "target": f"/{hostile}"}
    registry.entries = [entry(number, action=f"POST {hostile[:190]}", **fields) for number in range(1, 61)]
    sign_in(running)
    shown = page(running, "?token=%3Cscript%3E")
    assert "<script>" not in shown
    shown = page(running, lang="zh")
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(&#39;1&#39;)" in shown
    assert len(shown.encode()) <= 100_000
