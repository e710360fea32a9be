"""Each tab stays small and cheap, however many signals with however long texts have come."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, insert

from contracts.run_reports import RunCheck, RunChecks, RunReport, RunStep
from contracts.signals import MAX_FINGERPRINT_PARTS
from notification_gateway.dashboard.page import Page, Tab
from notification_gateway.incidents.model import incident_key
from notification_gateway.reports.queries import REPORTS_KEPT, store_checks, store_report
from notification_gateway.storage import Storage
from notification_gateway.tables import incidents, notifications, occurrence_minutes, signals
from running_gateway import SteppedGateway, Watch, settings, signal

MAX_BYTES = 100_000
MAX_CPU_SECONDS = 0.15
FINGERPRINTS = 2_000
MINUTES = 10
SIGNALS = 600
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
        run = f"20261128T030000{number:06d}Z"
        at = watch.now - timedelta(days=REPORTS_KEPT - number)
        report = RunReport(
            run=run, run_id=f"scheduled__{LONG[:200]}{number}", outcome="failed", posted_at=at, size_bytes=1
        )
        store_report(connection, report, b"page")
        checks = [
            RunCheck(
                check=f"{each:03d}.null_{'x' * 100}",
                severity=severities[(number + each) % 3],  # type: ignore[arg-type]  # one of them
                value=1 / (each + 3),
                threshold=1 / 7,
            )
            for each in range(150)
        ]
        steps = [RunStep(step=f"step-{each}", seconds=each + number / 7) for each in range(15)]
        store_checks(connection, run, RunChecks(checks=checks, steps=steps))


def test_no_tab_is_large_or_costly(gateway: SteppedGateway) -> None:
    page, storage, now = gateway.gateway.dashboard.page, gateway.gateway.storage, gateway.watch.now
    tabs: list[Tab] = ["overview", "live", "data", "models", "runs", "incidents"]
    measured = {tab: _measure(page, storage, tab, now) for tab in tabs}
    assert {tab: size for tab, (size, _) in measured.items() if size >= MAX_BYTES} == {}
    assert {tab: cpu for tab, (_, cpu) in measured.items() if cpu >= MAX_CPU_SECONDS} == {}


def _measure(page: Page, storage: Storage, tab: Tab, now: Any) -> tuple[int, float]:
    """Return the bytes of a tab, and the least CPU time of its rendering; the first one compiles its template."""
    size, least = 0, float("inf")
    for _ in range(4):
        with storage.read() as connection:
            began = time.thread_time()
            size = len(page.render(tab, "zh", connection, now, may_change=True).encode())
            least = min(least, time.thread_time() - began)
    return size, least
