"""Alerts as people get them: a message with working links, a close by its link, a summary on request."""

import re
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from harness import TIMEOUT_SECONDS, RunningStack


@pytest.fixture(scope="module")
def gateway(stack: RunningStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.env["GATEWAY_URL"], timeout=TIMEOUT_SECONDS) as client:
        yield client


def fire(stack: RunningStack, gateway: httpx.Client, point: str, fingerprint: list[str], message: str) -> None:
    signal = {
        "signal_id": uuid4().hex,
        "kind": "fired",
        "monitoring_point": point,
        "fingerprint": fingerprint,
        "level": "error",
        "category": fingerprint[0],
        "service": "end-to-end",
        "environment": "end-to-end",
        "message": message,
        "first_seen": stack.now_iso(),
        "last_seen": stack.now_iso(),
    }
    headers = {"Authorization": f"Bearer {stack.env['GATEWAY_TOKEN']}"}
    sent = gateway.post("/signals", json={"signals": [signal]}, headers=headers)
    assert sent.json() == {"accepted": 1, "duplicates": 0, "rejected": []}


def links(content: str, page: str) -> list[str]:
    return re.findall(rf"https?://[^\s\"\\]+/{page}/[^\s\"\\]+", content)


def test_a_p0_is_closed_by_the_link_in_its_message_and_stays_until_then(
    stack: RunningStack, gateway: httpx.Client
) -> None:
    fire(stack, gateway, "airflow.task_failed", ["airflow", "e2e", "by_link"], "by-link: it broke")
    content = stack.wechat.wait_for("by-link: it broke", within=60)
    (runbook,) = links(content, "runbook")
    assert "airflow.task_failed" in httpx.get(runbook, timeout=TIMEOUT_SECONDS).text
    (close,) = links(content, "close")
    assert "<button>" in httpx.get(close, timeout=TIMEOUT_SECONDS).text
    (alert,) = gateway.get("/alerts", params={"environment": "end-to-end", "state": "open"}).json()["alerts"]
    assert httpx.post(close, data={"by": "li.wei"}, timeout=TIMEOUT_SECONDS).status_code == 200
    shown = gateway.get(f"/alerts/{alert['id']}").json()
    assert (shown["state"], shown["resolution"], shown["closed_by"]) == ("resolved", "closed", "li.wei")
    assert [(each["kind"], each["actor"]) for each in shown["timeline"]] == [("opened", ""), ("resolved", "li.wei")]


def test_a_p1_is_in_the_summary_that_is_requested(stack: RunningStack, gateway: httpx.Client) -> None:
    fire(stack, gateway, "redis.unexpected_error", ["redis", "unexpected_error"], "in-summary: READONLY")
    headers = {"Authorization": f"Bearer {stack.env['ADMIN_TOKEN']}"}
    gateway.post("/summaries/send-now", json={"kind": "hourly_summary"}, headers=headers).raise_for_status()
    mails = f"{stack.env['WECHAT_SIMULATOR_URL']}/_control/mails"
    stack.wait_until(
        lambda: "in-summary: READONLY" in httpx.get(mails, timeout=TIMEOUT_SECONDS).text,
        within=60,
        what="the summary is in the catcher",
    )


def test_a_run_with_a_misspelt_parameter_fails_and_is_notified(stack: RunningStack, gateway: httpx.Client) -> None:
    body = {"logical_date": None, "conf": {"min_ndgc": 0.5}}
    stack.airflow.post("/api/v2/dags/recommendation_pipeline/dagRuns", json=body).raise_for_status()
    content = stack.wechat.wait_for("min_ndgc", within=120)
    assert "min_ndcg" in content
    (alert, *_) = gateway.get("/alerts", params={"monitoring_point": "airflow.task_failed", "state": "open"}).json()[
        "alerts"
    ]
    assert alert["fingerprint"] == ["airflow", "recommendation_pipeline", "start"]
    assert alert["episode"]
    headers = {"Authorization": f"Bearer {stack.env['ADMIN_TOKEN']}"}
    gateway.post(f"/alerts/{alert['id']}/close", json={"by": "a test"}, headers=headers).raise_for_status()
