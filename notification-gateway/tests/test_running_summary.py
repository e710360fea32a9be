"""The summary of the running period: previewed, sent early, never repeated, and stored."""

import json
from collections.abc import Callable, Iterator
from email import message_from_string, policy
from typing import Any

import pytest

from contracts.command_line import OK, UNREACHABLE, USAGE
from notification_gateway.app import create_app
from notification_gateway.cli import main
from notification_gateway.tables import digests, notifications
from running_gateway import ADMIN, MailServer, SteppedGateway, Watch, mail_to, settings, signal
from testkit.running_app import RunningApp

Make = Callable[..., SteppedGateway]
FAULT = ("redis", "connection_failed")


def fire(stepped: SteppedGateway, times: int, *, service: str = "api") -> None:
    stepped.fire(signal(FAULT, stepped.watch.now, level="warning", service=service, occurrences=times))


@pytest.fixture
def both(database_url: str, watch: Watch) -> Iterator[tuple[SteppedGateway, RunningApp]]:
    """A gateway that the test steps, and an HTTP application on the same database."""
    stepped = SteppedGateway(settings(database_url), watch)
    with RunningApp(create_app(settings(database_url), clock=watch)) as running:
        yield stepped, running
    stepped.close()


def test_a_summary_sent_now_is_not_repeated_at_the_end_of_the_hour(step_with: Make, mail: MailServer) -> None:
    stepped = step_with(**mail_to(mail.port))
    fire(stepped, 3)
    stepped.pass_time(minutes=10)
    assert len(stepped.gateway.alerts.summaries.send_now("hourly_summary")) == 1
    assert stepped.gateway.alerts.summaries.send_now("hourly_summary") == []
    fire(stepped, 4)
    stepped.pass_time(minutes=10)
    assert len(stepped.gateway.alerts.summaries.send_now("hourly_summary")) == 1
    fire(stepped, 5, service="sync")
    stepped.pass_time(minutes=40)
    stepped.pass_time(hours=1)
    while stepped.deliver():
        pass
    made = stepped.rows(digests)
    assert [row["content"]["occurrences"] for row in made] == [3, 4, 5]
    assert [(row["part"], row["is_manual"]) for row in made] == [(0, True), (1, True), (2, False)]
    assert [row["since"] for row in made[1:]] == [row["period_end"] for row in made[:-1]]
    assert [row["state"] for row in stepped.rows(notifications)] == ["sent"] * 3
    assert len(mail.mails) == 3


def test_an_hour_that_was_sent_whole_has_no_summary_at_its_end(stepped: SteppedGateway) -> None:
    fire(stepped, 3)
    stepped.gateway.alerts.summaries.send_now("hourly_summary")
    stepped.pass_time(hours=2)
    assert len(stepped.rows(digests)) == 1


def test_a_mail_names_service_environment_and_incident_and_links_it(step_with: Make, mail: MailServer) -> None:
    stepped = step_with(**mail_to(mail.port), gateway_public_url="https://alerts.example.test")
    fire(stepped, 3)
    stepped.pass_time(hours=1)
    stepped.deliver()
    message = message_from_string(mail.mails[0], policy=policy.default)
    text, page = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert page is not None
    address = "https://alerts.example.test/dashboard/incident/1"
    assert f"\n  {address}\n" in text.get_content()
    row = next(line for line in text.get_content().splitlines() if line.startswith("P1 ·"))
    assert "api（test）" in row
    assert "#1" in row
    assert f'<a href="{address}"' in page.get_content()


def test_the_dashboard_shows_the_incident_of_a_link_also_an_old_one(both: tuple[SteppedGateway, RunningApp]) -> None:
    stepped, running = both
    fire(stepped, 3)
    for number in range(60):
        stepped.fire(signal(("pipeline", f"step_{number}", "KeyError"), level="warning"))
    page = running.http.get("/dashboard/incidents", params={"incident": "1", "lang": "en"})
    assert 'id="incident-1"' in page.text
    assert page.text.index("redis.connection_failed") < page.text.index("step_59")
    assert "no such incident" in running.http.get("/dashboard/incidents", params={"incident": "999"}).text
    for odd in ("x", "0", "-1", "1.0", "9" * 30):
        assert running.http.get("/dashboard/incidents", params={"incident": odd}).status_code == 422


def test_summaries_are_listed_paged_and_shown_with_the_running_one(both: tuple[SteppedGateway, RunningApp]) -> None:
    stepped, running = both
    for hour in range(3):
        fire(stepped, hour + 1)
        stepped.pass_time(hours=1)
    fire(stepped, 9)
    stepped.fire(signal(("pipeline", "train", "KeyError"), stepped.watch.now, level="warning"))
    first = running.ask("/summaries", kind="hourly_summary", limit=2)
    assert [each["occurrences"] for each in first["summaries"]] == [3, 2]
    (now,) = first["running"]
    assert (now["content"]["occurrences"], now["kind"], now["channel"]) == (9, "hourly_summary", "email")
    assert "redis.connection_failed" in now["text"]
    second = running.ask("/summaries", kind="hourly_summary", limit=2, before=first["next_before"])
    assert ([each["occurrences"] for each in second["summaries"]], second["next_before"]) == ([1], None)
    assert {each["kind"] for each in running.ask("/summaries")["running"]} == {"hourly_summary", "daily_digest"}
    whole = running.ask(f"/summaries/{first['summaries'][0]['id']}")
    assert whole["content"]["rows"][0]["environment"] == "test"
    assert sum(row["occurrences"] for row in whole["content"]["rows"]) == whole["occurrences"] == 3
    assert running.http.get("/summaries/999").status_code == 404
    assert running.http.get("/summaries", params={"kind": "weekly"}).status_code == 422


def test_only_the_admin_token_sends_now(both: tuple[SteppedGateway, RunningApp]) -> None:
    stepped, running = both
    fire(stepped, 3)
    assert running.post("/summaries/send-now", {}).status_code == 401
    assert running.post("/summaries/send-now", {"kind": "weekly"}, token=ADMIN).status_code == 422
    assert running.post("/summaries/send-now", {"kind": "daily_digest"}, token=ADMIN).json() == {"summaries": []}
    sent = running.post("/summaries/send-now", {"kind": "hourly_summary"}, token=ADMIN)
    assert (sent.status_code, sent.json()["summaries"][0]["occurrences"]) == (202, 3)
    assert running.ask("/summaries")["running"] == []


def test_the_page_previews_and_sends_now_for_a_signed_in_person(both: tuple[SteppedGateway, RunningApp]) -> None:
    stepped, running = both
    fire(stepped, 3)
    page = running.http.get("/dashboard/digests", params={"lang": "en"}).text
    assert "Preview of the hourly summary" in page
    assert "1 incidents · 3 times" in page
    assert "Send now" not in page
    form = {"kind": "hourly_summary"}
    assert running.http.post("/dashboard/summaries/send-now", data=form).status_code == 401
    running.http.post("/dashboard/session", data={"token": ADMIN})
    assert "Send now" in running.http.get("/dashboard/digests").text
    assert running.http.post("/dashboard/summaries/send-now", data=form).headers["Location"] == "/dashboard/digests"
    after = running.http.get("/dashboard/digests", params={"lang": "en"}).text
    assert "sent before its end" in after
    assert "No entries so far." in after


@pytest.fixture
def summary(
    both: tuple[SteppedGateway, RunningApp], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run `alertctl summary`; returns the exit code and what it printed."""
    monkeypatch.setenv("GATEWAY_URL", both[1].url)
    monkeypatch.setenv("ADMIN_TOKEN", ADMIN)

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["summary", *arguments])
        printed = capsys.readouterr()
        # The gateway runs in this process, and its log lines go to stderr.
        return code, printed.out or printed.err

    return run


def test_alertctl_previews_sends_now_lists_and_shows(
    both: tuple[SteppedGateway, RunningApp], summary: Callable[..., tuple[int, str]]
) -> None:
    assert summary() == (OK, "no entries so far\n")
    assert summary("--send-now") == (OK, "no entries so far: nothing was sent\n")
    fire(both[0], 3)
    code, text = summary("--preview")
    assert (code, "redis.connection_failed" in text) == (OK, True)
    code, text = summary("--send-now", "--json")
    assert (code, json.loads(text)["summaries"][0]["occurrences"]) == (OK, 3)
    fire(both[0], 1, service="api\N{RIGHT-TO-LEFT OVERRIDE}")
    code, text = summary("--json")
    assert (code, text.isascii(), len(json.loads(text)["running"]) > 0) == (OK, True, True)
    code, text = summary("list")
    assert code == OK
    assert text.startswith("1  hourly_summary  email  2026-01-05 12:00:30 UTC  1 incidents, 3 times  ")
    assert "redis.connection_failed" in summary("1")[1]


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (["2"], {}, USAGE),
        (["soon"], {}, USAGE),
        (["--send-now"], {"ADMIN_TOKEN": "another-token"}, USAGE),
        (["list"], {"GATEWAY_URL": "http://127.0.0.1:9"}, UNREACHABLE),
        (["list"], {"GATEWAY_URL": "not an address"}, USAGE),
        (["list"], {"ADMIN_TOKEN": "密钥"}, USAGE),
    ],
)
def test_alertctl_prints_an_error_in_one_line(
    summary: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, Any],
    code: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ended, text = summary(*arguments)
    assert ended == code
    assert text.startswith("alertctl: ")
    assert text.count("\n") == 1
    assert "another-token" not in text


def test_a_summary_of_an_older_release_is_listed_without_numbers(both: tuple[SteppedGateway, RunningApp]) -> None:
    stepped, running = both
    fire(stepped, 3)
    stepped.pass_time(hours=1)
    with stepped.gateway.storage.transaction() as connection:
        connection.execute(digests.update().values(content=None, since=None))
    (made,) = running.ask("/summaries")["summaries"]
    assert (made["occurrences"], made["since"]) == (None, made["period_start"])
    assert "redis.connection_failed" in running.http.get("/dashboard/digests").text
