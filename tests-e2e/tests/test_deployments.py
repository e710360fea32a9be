"""A failed deployment changes nothing and is notified; a successful one is served without a restart."""

import time

from contracts.deployments import DeploymentRequest, RollbackRequest
from harness import RunningStack


def test_a_damaged_bundle_keeps_the_old_model_and_is_notified_by_wechat(stack: RunningStack) -> None:
    serving = stack.api.get(f"/similar/{stack.dataset_id}").json()["model_version"]
    version = stack.push_another_version()
    stack.damage_stored_bundle(version)

    began = time.monotonic()
    refused = stack.registry.post("/models/ranker/deployments", json={"version": version, "mode": "primary"})
    assert refused.status_code in (409, 422)
    assert refused.headers["content-type"] == "application/problem+json"
    assert "checksum" in refused.json()["detail"]

    message = stack.wechat.wait_for("model.deployment_failed", within=60)
    stack.note("seconds from a failed deploy to its WeChat message", time.monotonic() - began)
    assert "model-registry" in message

    event = stack.collector.wait_for("model.deployment_failed", within=60)
    assert event["fingerprint"] == ["model", "deployment_failed"]
    assert event["level"] == "error"
    assert event["tags"]["service"] == "model-registry"
    assert event["tags"]["stage"] == "checksum"
    assert event["tags"]["model_version"] == version
    assert "deployment started" in {crumb["message"] for crumb in event["breadcrumbs"]}

    answer = stack.api.get(f"/similar/{stack.dataset_id}").json()
    assert (answer["model_version"], answer["fallback_level"]) == (serving, 0)
    assert stack.active_version() == serving


def test_a_new_version_is_served_without_a_restart_and_can_be_rolled_back(stack: RunningStack) -> None:
    serving = stack.active_version()
    process = stack.programs.main_process("recommender-api")
    version = stack.push_another_version()
    assert stack.models.deploy(DeploymentRequest(version=version)).previous_version == serving
    stack.wait_until(lambda: stack.served_version() == version, within=60, what="the API serves the new version")

    stack.models.roll_back(RollbackRequest(reason="end-to-end test"))
    stack.wait_until(lambda: stack.served_version() == serving, within=60, what="the API serves the old version again")
    assert stack.programs.main_process("recommender-api") == process


def test_a_shadow_is_compared_on_live_traffic_and_removed(stack: RunningStack) -> None:
    serving, version = stack.active_version(), stack.push_another_version()
    stack.models.deploy(DeploymentRequest(version=version, mode="shadow"))
    datasets = iter(list(stack.titles) * 10)

    def compared() -> bool:
        answer = stack.api.get(f"/similar/{next(datasets)}").json()
        assert (answer["model_version"], answer["model_variant"]) == (serving, "primary")
        report = stack.api.get("/models/shadow")
        return report.status_code == 200 and report.json()["compared"] >= 3

    stack.wait_until(compared, within=60, what="the shadow has comparisons")
    report = stack.api.get("/models/shadow").json()
    assert (report["primary_version"], report["shadow_version"], report["failed"]) == (serving, version, 0)
    # The shadow is the same model with another version number.
    assert (report["overlap_at_10"], report["score_difference"]) == (1.0, 0.0)

    stack.models.roll_back(RollbackRequest(mode="shadow"))
    stack.wait_until(
        lambda: stack.api.get("/models/shadow").status_code == 404, within=60, what="the shadow has left the API"
    )
