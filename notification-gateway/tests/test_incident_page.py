"""The page of one incident on the dashboard: its content, its forms, and their redirects."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from localservers.executables import chromium
from notification_gateway.app import create_app
from running_gateway import ADMIN, TOKEN, Watch, settings, signal
from testkit.running_app import RunningApp

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"
ACTIONS = ("acknowledge", "assign", "comment", "close", "false-alarm", "reopen", "parent")


@pytest.fixture
def running(sqlite_url: str, watch: Watch) -> Iterator[RunningApp]:
    configured = settings(sqlite_url, weixin_robot_key="k")
    with RunningApp(create_app(configured, clock=watch)) as running:
        yield running


def fire(running: RunningApp, *fingerprints: tuple[str, ...], message: str = "m") -> None:
    signals = [
        signal(each, message=message, event_id="0" * 32, tags={"model_version": "7"}).model_dump(mode="json")
        for each in fingerprints
    ]
    assert running.post("/signals", {"signals": signals}, token=TOKEN).status_code == 202


def sign_in(running: RunningApp) -> None:
    signed = running.http.post("/dashboard/session", data={"token": ADMIN, "back": "incident/1"})
    assert signed.headers["Location"] == "/dashboard/incident/1"


def act(running: RunningApp, action: str, status: int = 303, incident_id: int = 1, **form: str) -> None:
    form = {"by": "li.wei", "back": f"incident/{incident_id}"} | form
    answer = running.http.post(f"/dashboard/incidents/{incident_id}/{action}", data=form)
    assert answer.status_code == status, answer.text
    if status == 303:
        assert answer.headers["Location"] == f"/dashboard/incident/{incident_id}"


def shown(running: RunningApp, incident_id: int = 1) -> str:
    page = running.http.get(f"/dashboard/incident/{incident_id}", params={"lang": "en"})
    assert page.status_code == 200, page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    return str(page.text)


def test_it_shows_all_of_an_incident_in_either_language(running: RunningApp) -> None:
    fire(running, ("model", "deployment_failed"), ("model", "b"))
    sign_in(running)
    act(running, "parent", incident_id=2, parent_id="1")
    act(running, "comment", text="disk was full")
    page = shown(running)
    for part in (
        "model_version=7",
        "model / deployment_failed",
        "disk was full",
        "li.wei",
        "commented",
        "weixin",
        'href="/dashboard/incident/2"',
        'href="http://collector.test/issues/event/00000000-0000-0000-0000-000000000000/"',
        "Changes in the hour before",
    ):
        assert part in page, part
    assert 'href="/dashboard/incident/1"' in shown(running, 2)
    chinese = running.http.get("/dashboard/incident/1", params={"lang": "zh"}).text
    assert "之前一小时的变更" in chinese
    assert "备注" in chinese


def test_each_form_acts_and_comes_back_to_the_page(running: RunningApp) -> None:
    fire(running, ("model", "a"), ("model", "b"))
    sign_in(running)
    act(running, "acknowledge", comment="looking")
    act(running, "assign", assignee="zhang.san")
    act(running, "comment", text="disk was full")
    act(running, "parent", parent_id="2")
    act(running, "parent", parent_id="")
    act(running, "close", comment="freed it")
    act(running, "reopen")
    act(running, "false-alarm")
    alert = running.ask("/alerts/1")
    assert (alert["acknowledged_by"], alert["assignee"], alert["resolution"]) == (None, "zhang.san", "false_alarm")
    assert [each["kind"] for each in alert["timeline"]] == [
        "opened",
        "commented",
        "acknowledged",
        "assigned",
        "commented",
        "grouped",
        "ungrouped",
        "commented",
        "resolved",
        "reopened",
        "resolved",
    ]
    assert {each["actor"] for each in alert["timeline"][1:]} == {"li.wei"}


def test_only_possible_actions_are_shown_and_only_when_signed_in(running: RunningApp) -> None:
    fire(running, ("model", "a"))
    assert "/dashboard/incidents/1/" not in shown(running)
    sign_in(running)
    assert [action for action in ACTIONS if f"/dashboard/incidents/1/{action}" in shown(running)] == [
        action for action in ACTIONS if action != "reopen"
    ]
    act(running, "acknowledge")
    assert "/dashboard/incidents/1/acknowledge" not in shown(running)
    act(running, "close")
    offered = [action for action in ACTIONS if f"/dashboard/incidents/1/{action}" in shown(running)]
    assert offered == ["assign", "comment", "false-alarm", "reopen", "parent"]


def test_an_impossible_action_changes_nothing(running: RunningApp) -> None:
    fire(running, ("model", "a"))
    form = {"by": "x", "assignee": "x", "text": "x", "parent_id": ""}
    for cookie in ("", "9999999999.0000"):
        for action in ACTIONS:
            sent = running.http.post(
                f"/dashboard/incidents/1/{action}", data=form, headers={"Cookie": f"dashboard_session={cookie}"}
            )
            assert sent.status_code == 401
    sign_in(running)
    act(running, "reopen", 409)
    act(running, "parent", 409, parent_id="1")
    act(running, "parent", 404, parent_id="9")
    act(running, "parent", 422, parent_id="soon")
    act(running, "comment", 422, text="")
    act(running, "comment", 422, text="x" * 4001)
    act(running, "assign", 422, assignee="")
    act(running, "close", 422, by="")
    for action in ACTIONS:
        act(running, action, 404, incident_id=9, **{name: value for name, value in form.items() if name != "by"})
    assert len(running.ask("/alerts/1")["timeline"]) == 1


@pytest.mark.parametrize(("incident_id", "status"), [("9", 404), ("0", 422), ("x", 422), ("9" * 30, 422)])
def test_an_incident_that_does_not_exist_has_no_page(running: RunningApp, incident_id: str, status: int) -> None:
    assert running.http.get(f"/dashboard/incident/{incident_id}").status_code == status


@pytest.mark.parametrize(
    "back",
    [
        "//evil.test",
        "https://evil.test",
        "incident/1/../../evil",
        "incident/1?x",
        "incident/1\n",
        "incident//evil.test",
        "incident/\N{FULLWIDTH DIGIT ONE}",
        "incident/0",
        "../x",
        "\\evil.test",
        "stream",
        "",
    ],
)
def test_a_form_leads_only_to_our_own_pages(running: RunningApp, back: str) -> None:
    signed = running.http.post("/dashboard/session", data={"token": ADMIN, "back": back})
    assert (signed.status_code, signed.headers["Location"]) == (303, "/dashboard")


def test_the_tabs_link_to_the_page(running: RunningApp) -> None:
    fire(running, ("model", "deployment_failed"))
    for tab in ("", "/incidents", "/incidents?incident=1"):
        assert 'href="/dashboard/incident/1"' in running.http.get(f"/dashboard{tab}").text


def test_on_a_phone_the_forms_work_and_text_of_others_is_escaped(running: RunningApp) -> None:
    fire(running, ("x", HOSTILE), message=HOSTILE)
    sign_in(running)
    act(running, "comment", text=HOSTILE, by=HOSTILE)
    act(running, "assign", assignee=HOSTILE)
    program = chromium()
    assert program is not None, "run `python -m native prerequisites`"
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        page = browser.new_context(locale="en-US", viewport={"width": 390, "height": 900}).new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{running.url}/dashboard/incident/1")
        page.locator("footer summary").click()
        page.get_by_label("Token of an admin").fill(ADMIN)
        page.get_by_role("button", name="Sign in").click()
        form = page.locator("form[action$='/acknowledge']")
        form.locator("[name=by]").fill("li.wei")
        form.locator("[name=comment]").fill("looking")
        form.get_by_role("button").click()
        expect(page.locator("main")).to_contain_text("✓ li.wei")
        assert page.url == f"{running.url}/dashboard/incident/1"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("main").inner_text().count("<script>alert(1)</script>") >= 4
        assert page.locator("main script, main img").count() == 0
        assert problems == []
        browser.close()
