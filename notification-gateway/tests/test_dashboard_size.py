"""Each tab stays small and cheap, however many signals with however long texts have come."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from odd_sources import OddSources, deployment
from sqlalchemy import Connection, insert

from contracts.run_reports import RunCheck, RunChecks, RunReport, RunStep
from contracts.signals import MAX_FINGERPRINT_PARTS
from notification_gateway.dashboard.assembly import Dashboard
from notification_gateway.dashboard.page import Tab
from notification_gateway.incidents.model import incident_key
from notification_gateway.reports.queries import REPORTS_KEPT, store_checks, store_report
from notification_gateway.tables import incidents, notifications, occurrence_minutes, signals
from running_gateway import SteppedGateway, Watch, settings, signal
from testkit.fixed_work import fixed_work

MAX_BYTES = 100_000
# Times the CPU of the fixed work: 240 ms on a quiet machine that does it in 12. A busy one slows large work down more.
MAX_CPU = 20
FINGERPRINTS = 2_000
MINUTES = 10
SIGNALS = 600
SERIES = 25
TABS: tuple[Tab, ...] = ("overview", "live", "data", "models", "runs", "incidents")
# A character that HTML escapes by five, and one of three bytes.
LONG = '"数' * 500


@pytest.fixture(params=["sqlite_url", "postgres_url"], ids=["sqlite", "postgresql"])
def gateway(request: pytest.FixtureRequest, watch: Watch) -> Iterator[SteppedGateway]:
    stepped = SteppedGateway(settings(request.getfixturevalue(request.param)), watch)
    with stepped.gateway.storage.transaction() as connection:
        _fill_incidents(connection, watch)
        _fill_runs(connection, watch)
    yield stepped
    stepped.close()


@pytest.fixture
def sources() -> Iterator[OddSources]:
    with OddSources() as server:
        _fill_sources(server)
        yield server


def _fill_sources(sources: OddSources) -> None:
    names = ("reason", "status", "version", "service", "database", "model_version", "variant", "endpoint")
    sources.value = "1234.567890123456"
    sources.labels = [
        dict.fromkeys(names, f"{number} {LONG[:100]}") | {"outcome": "compared", "stage": "read", "level": "2"}
        for number in range(SERIES)
    ]
    checks = [
        {"check": f"{number}.{kind}_{LONG}", "severity": "warning", "value": -1e-101 / 7, "threshold": 1e-101 / 7}
        for number in range(400)
        for kind in ("null", "outlier")
    ]
    metrics = {f"{number} ndcg {LONG}": 0.1234 for number in range(400)}
    sources.manifest = {"metrics": metrics, "data_checks": checks}
    modes = ("primary", "shadow", "canary", *["primary"] * 50)
    sources.deployments = [deployment(str(12 - place % 12), mode, LONG) for place, mode in enumerate(modes)]


def _fill_incidents(connection: Connection, watch: Watch) -> None:
    categories = ("data_quality", "model_training", "feature_store", "database", "api")
    rows: list[dict[str, Any]] = []
    for number in range(FINGERPRINTS):
        fingerprint = [f"{number}", *[LONG[:512]] * 3] if number % 10 else [f"{number}"] * MAX_FINGERPRINT_PARTS
        seen = watch.now - timedelta(seconds=number)
        rows.append(
            {
                "id": number + 1,
                "key": incident_key("test", "service", tuple(fingerprint)),
                "environment": "test",
                "service": "s" * 64,
                "fingerprint": fingerprint,
                "monitoring_point": f"own.{number}",
                "level": "error",
                "category": categories[number % len(categories)],
                "message": LONG,
                "priority": "P0",
                "reason": "default",
                "state": "open" if number % 2 else "resolved",
                "opened_at": seen,
                "first_seen": seen,
                "last_seen": seen,
                "last_signal_at": seen,
                "resolved_at": None if number % 2 else seen,
                "occurrences": number,
                "signals": 1,
                "request_ids": [],
                "tags": {},
                "notified": [],
            }
        )
    connection.execute(insert(incidents), rows)
    connection.execute(
        insert(occurrence_minutes),
        [
            {
                "environment": "test",
                "minute": watch.now.replace(second=0) - timedelta(minutes=5 * minute),
                "subject": f"{row['id']}",
                "service": "service",
                "level": "error",
                "category": row["category"],
                "fingerprint": row["fingerprint"],
                "occurrences": row["id"],
            }
            for row in rows
            for minute in range(MINUTES)
        ],
    )
    _fill_signals(connection, watch)
    notice = {"title": LONG}
    connection.execute(
        insert(notifications),
        [
            {"dedupe_key": f"{number}", "incident_id": 1, "channel": "weixin", "urgency": 0, "notice": notice}
            | {"kind": "opened", "state": "failed", "created_at": watch.now, "next_attempt_at": watch.now}
            | {"detail": LONG}
            for number in range(100)
        ],
    )


def _fill_signals(connection: Connection, watch: Watch) -> None:
    bodies = [
        signal(
            ("data_quality", f"check-{number}"),
            watch.now,
            message=LONG,
            tags={"check_name": f"{number} {LONG[:500]}", "metric_value": LONG[:500], "threshold": "0.1"},
        ).model_dump(mode="json")
        for number in range(SIGNALS)
    ]
    connection.execute(
        insert(signals),
        [
            {"signal_id": uuid4().hex, "received_at": watch.now, "incident_id": 1, "priority": "P0", "body": body}
            for body in bodies
        ],
    )


def _fill_runs(connection: Connection, watch: Watch) -> None:
    severities = ("ok", "warning", "critical")
    for number in range(REPORTS_KEPT):
        run = f"{number:03d}{'x' * 125}"
        at = watch.now - timedelta(days=REPORTS_KEPT - number)
        report = RunReport(
            run=run, run_id=f"scheduled__{LONG[:200]}{number}", outcome="failed", posted_at=at, size_bytes=1
        )
        store_report(connection, report, b"page")
        checks = [
            RunCheck(
                check=f"{each:03d}.null_{LONG[:100]}",
                severity=severities[(number + each) % 3],  # type: ignore[arg-type]  # one of them
                value=-1e-101 / (each + 3),
                threshold=-1e-101 / 7,
            )
            for each in range(150)
        ]
        steps = [RunStep(step=f"{each} {LONG[:60]}", seconds=1e300 + number) for each in range(50)]
        store_checks(connection, run, RunChecks(checks=checks, steps=steps))


def test_no_tab_is_large_or_costly(gateway: SteppedGateway, sources: OddSources) -> None:
    pages = _render_with(sources, gateway)
    assert {tab: len(page.encode()) for tab, page in pages.items() if len(page.encode()) >= MAX_BYTES} == {}
    more = {tab: re.findall(r"<p class=\"soft\">另有 (\d+) 个</p>", page) for tab, page in pages.items()}
    assert more == {
        "overview": [],
        "live": ["5"],
        "data": ["375", "375", "120", "485", "5"],
        "models": ["30", "33", "19", "1", "370"],
        "runs": ["60", "90", "30"],
        "incidents": [],
    }
    cpu = {tab: _measure_cpu(gateway, tab) for tab in TABS}
    assert {tab: times for tab, times in cpu.items() if times >= MAX_CPU} == {}


def _render_with(sources: OddSources, gateway: SteppedGateway) -> dict[Tab, str]:
    """Return the tabs of another replica, which has Prometheus and the registry."""
    storage, now = gateway.gateway.storage, gateway.watch.now
    replica = settings("sqlite://", prometheus_url=sources.url, registry_url=sources.url)
    summaries, links = gateway.gateway.alerts.summaries, gateway.gateway.composer.links
    dashboard = Dashboard(replica, summaries, links, gateway.watch)
    with storage.read() as connection:
        pages = {tab: dashboard.page.render(tab, "zh", connection, now, may_change=True) for tab in TABS}
    dashboard.close()
    return pages


def _measure_cpu(gateway: SteppedGateway, tab: Tab) -> float:
    """Return the least CPU time of a tab's rendering, as a multiple of that of fixed work at the same time.

    The first rendering compiles the template.
    """
    page, now, least, work = gateway.gateway.dashboard.page, gateway.watch.now, float("inf"), float("inf")
    for _ in range(4):
        work = min(work, fixed_work())
        with gateway.gateway.storage.read() as connection:
            began = time.thread_time()
            page.render(tab, "zh", connection, now, may_change=True)
            least = min(least, time.thread_time() - began)
    return least / work
