"""Every request is accepted or rejected, on both databases; none makes the gateway fail."""

from collections.abc import Iterator

import pytest

import monitoring.testing
from notification_gateway.app import create_app
from running_gateway import ADMIN, TOKEN, settings
from testkit.running_app import RunningApp


@pytest.fixture
def running(database_url: str) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(database_url))) as started:
        yield started


NUMBERS = ("%2B5", "1_0", "%EF%BC%95", "%205", "5.0", "05", "0", "9223372036854775808", "9" * 5000, "%00", "")


def test_numbers_are_read_by_their_grammar_and_bounds(running: RunningApp) -> None:
    authorized = {"Authorization": f"Bearer {ADMIN}"}
    with monitoring.testing.captured() as reports:
        for number in NUMBERS:
            for parameter in ("limit", "before"):
                assert running.http.get(f"/alerts?{parameter}={number}").status_code == 422, (parameter, number)
            if number:
                assert running.http.delete(f"/silences/{number}", headers=authorized).status_code == 422, number
                path = f"/acknowledge/{number}?until={number}&signature=x"
                assert running.http.get(path).status_code == 422, number
    assert reports.point_ids == []


@pytest.mark.parametrize("parameter", ["service", "environment", "monitoring_point"])
def test_texts_that_the_database_cannot_store_are_rejected(running: RunningApp, parameter: str) -> None:
    for text in ("%00", "a%00b", "%1B", "x" * 129, "%ff%fe"):
        assert running.http.get(f"/alerts?{parameter}={text}").status_code == 422


def test_alerts_reject_repeated_or_unknown_parameters_and_pages_ignore_them(running: RunningApp) -> None:
    twice = running.http.get("/alerts?state=open&state=resolved")
    assert twice.json()["errors"] == [{"field": "query.state", "message": "given twice"}]
    assert running.http.get("/alerts?stat=open").status_code == 422
    for path in (
        "/dashboard?utm=1&utm=2",
        "/dashboard/silences?x=1",
        "/dashboard/assets/dashboard.css?v=1",
        "/metrics?x=1",
    ):
        assert running.http.get(path).status_code == 200
    alerts = {"alerts": []}
    authorized = {"Authorization": f"Bearer {TOKEN}"}
    assert running.http.post("/webhooks/alertmanager?x=1&x=2", headers=authorized, json=alerts).status_code == 202


def test_a_form_without_a_session_is_rejected_before_it_is_read(running: RunningApp) -> None:
    for path in ("/dashboard/silences", "/dashboard/silences/1/end", "/dashboard/incidents/1/acknowledge"):
        for cookie in ("", "1.x", "\u00b2.\u00b2", "9" * 5000 + ".x"):
            headers = [(b"Cookie", f"dashboard_session={cookie}".encode("latin-1"))]
            answer = running.http.post(path, content=b"{", headers=headers)
            assert (answer.status_code, answer.json()["detail"]) == (
                401,
                "Sign in on the dashboard with the token of an admin first.",
            )


def test_proxies_do_not_buffer_the_updates_of_the_page(running: RunningApp) -> None:
    with running.http.stream("GET", "/dashboard/stream") as stream:
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert next(stream.iter_text()).startswith("retry: ")
