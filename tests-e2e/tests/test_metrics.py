"""The metrics of the Prometheus rules are exported, and the alerts reach notification-gateway."""

import re

import httpx
import pytest

from harness import CHECKOUT, RunningStack

SERVICES = ("API_URL", "REGISTRY_URL", "FEATURE_SYNC_URL", "GATEWAY_URL")
# The rule waits a minute, Prometheus and Alertmanager a few seconds each.
ALERT_SECONDS = 110


def test_every_series_of_the_rules_is_exported_by_a_service(stack: RunningStack) -> None:
    exported = "".join(httpx.get(f"{stack.env[name]}/metrics", timeout=10).text for name in SERVICES)
    rules = (CHECKOUT / "deploy" / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"\b(?:recommender|sync|monitoring)_\w+", rules))
    assert used
    assert {name for name in used if f"\n{name}" not in exported} == set()


def test_no_panel_of_a_started_stack_lacks_its_source(stack: RunningStack) -> None:
    if "prometheus" not in stack.programs.programs():
        return
    for tab in ("live", "data", "models"):
        page = httpx.get(f"{stack.env['GATEWAY_URL']}/dashboard/{tab}", params={"lang": "en"}, timeout=10)
        assert page.status_code == 200
        assert "Not set up" not in page.text, tab


@pytest.mark.timeout(240)
def test_a_service_that_is_down_is_an_alert_of_the_gateway(stack: RunningStack) -> None:
    if "alertmanager" not in stack.programs.programs():
        return
    stack.programs.hold_down("feature-sync")
    try:

        def has_alert() -> bool:
            found = httpx.get(
                f"{stack.env['GATEWAY_URL']}/alerts", params={"monitoring_point": "alertmanager.alert"}, timeout=10
            ).json()["alerts"]
            return any(
                (alert["fingerprint"][1], alert["service"]) == ("ServiceDown", "feature-sync") for alert in found
            )

        stack.wait_until(has_alert, within=ALERT_SECONDS, every=1, what="the gateway has the alert ServiceDown")
    finally:
        stack.programs.bring_back("feature-sync")
