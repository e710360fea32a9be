"""Following the registry: models are swapped without a gap, and on any failure the previous model keeps serving."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from pydantic import SecretStr

import monitoring.testing
from contracts import redis_keys
from contracts.bundle import pack, write_manifest
from contracts.bundle.manifest import read_manifest
from contracts.events import Exposure, read_entry
from ranking.testing import Size, tiny_bundle
from recommender_api.models.cache import BundleCache
from recommender_api.models.loading import load_model
from recommender_api.models.low_priority_thread import NICENESS
from recommender_api.models.registry import ReplicaRegistry
from recommender_api.models.registry_poller import RegistryPoller
from recommender_api.models.serving import LoadedModel, Models, Serving
from testkit.fake_registry import SINCE, FakeRegistry
from testkit.running_app import RunningApp

ADMIN_TOKEN = "admin-token-of-the-tests"
Until = Callable[..., None]


def version(api: RunningApp) -> str:
    return str(api.ask("/similar/105")["model_version"])


def reload(api: RunningApp) -> Any:
    return api.post("/models/reload", token=ADMIN_TOKEN)


def test_a_new_deployment_is_served_without_a_failed_or_mixed_answer(
    api: RunningApp, registry: FakeRegistry, archives: Any, until: Until
) -> None:
    first = api.ask("/similar/105")
    answers: list[dict[str, Any]] = []
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            answers.append(api.ask("/similar/105"))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    registry.deploy(registry.push("2", archives.second))
    until(lambda: answers and answers[-1]["model_version"] == "2")
    stop.set()
    asking.join()
    assert {answer["fallback_level"] for answer in answers} == {0}
    items = {answer["model_version"]: answer["items"] for answer in answers}
    assert items["2"] != first["items"]
    # No result of one model is served under the other's name.
    for answer in answers:
        assert answer["items"] == (first["items"] if answer["model_version"] == "1" else items["2"])
    until(lambda: registry.replicas.get(("replica-1", "primary"), {}).get("version") == "2")
    assert registry.replicas["replica-1", "primary"]["state"] == "serving"


def test_loading_a_model_has_a_lower_priority_than_answers(
    start: Callable[..., RunningApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    niceness = []

    def load(*args: Any) -> LoadedModel:
        niceness.append(os.getpriority(os.PRIO_PROCESS, 0))
        return load_model(*args)

    monkeypatch.setattr("recommender_api.models.activation.load_model", load)
    assert version(start()) == "1"
    assert niceness == [min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)]


def test_an_unchanged_deployment_costs_the_registry_a_304(
    api: RunningApp, registry: FakeRegistry, until: Until
) -> None:
    until(lambda: registry.not_modified >= 3)
    assert set(registry.authorizations) == {"Bearer registry-token-of-the-tests"}


def test_a_registry_that_holds_requests_is_not_polled_and_a_change_is_served_at_once(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any, until: Until
) -> None:
    registry.max_wait = 30
    api = start(model_poll_seconds=1)
    until(lambda: len(registry.authorizations) >= 3)
    time.sleep(3)
    asked = len(registry.authorizations)
    registry.deploy(registry.push("2", archives.second))
    # Loading takes its time on a busy machine; the next poll would be a minute away.
    until(lambda: version(api) == "2")
    until(lambda: registry.replicas["replica-1", "primary"]["version"] == "2")
    assert (asked, registry.not_modified) == (3, 0)
    # A reload isn't held up by the request that waits.
    registry.deploy(registry.deployment("1", since=SINCE))
    assert reload(api).status_code == 200


def test_a_replica_says_which_mode_it_cannot_load_and_tries_again_without_waiting(
    api: RunningApp, registry: FakeRegistry, archives: Any, until: Until
) -> None:
    assert registry.active is not None
    damaged = registry.push("2", archives.second)
    registry.bundles["2"] = b"damaged"
    registry.max_wait = 30
    registry.deploy(registry.active["primary"], canary=damaged)
    until(lambda: registry.replicas.get(("replica-1", "canary"), {}).get("state") == "failed")
    canary, primary = registry.replicas["replica-1", "canary"], registry.replicas["replica-1", "primary"]
    assert (canary["deployment_id"], canary["version"]) == (None, None)
    assert "checksum" in canary["error"]
    assert (primary["deployment_id"], primary["state"]) == (registry.active["primary"]["deployment_id"], "serving")
    registry.bundles["2"] = archives.second.read_bytes()
    until(lambda: registry.replicas["replica-1", "canary"]["state"] == "serving")
    assert registry.replicas["replica-1", "canary"]["error"] is None


def test_reload_polls_the_registry_now_and_accepts_no_other_source(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any
) -> None:
    api = start(model_poll_seconds=3600)
    assert api.post("/models/reload").status_code == 401
    assert reload(api).json() == {"model_name": "ranker", "model_version": "1", "changed": False}
    registry.deploy(registry.push("2", archives.second))
    assert reload(api).json() == {"model_name": "ranker", "model_version": "2", "changed": True}
    assert version(api) == "2"


def test_a_bundle_with_another_checksum_is_rejected_and_the_previous_model_keeps_serving(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any
) -> None:
    api = start(model_poll_seconds=3600)
    damaged = registry.push("2", archives.second)
    registry.bundles["2"] = registry.bundles["2"][:-100] + bytes(100)
    registry.deploy(damaged)
    with monitoring.testing.captured() as reports:
        refused = reload(api)
        again = reload(api)
    assert (refused.status_code, again.status_code) == (409, 409)
    assert "checksum" in refused.json()["detail"]
    assert version(api) == "1"
    assert reports.point_ids == ["model.deployment_failed"]
    assert reports[0].tags["stage"] == "checksum"
    assert (reports[0].tags["model_name"], reports[0].tags["model_version"]) == ("ranker", "2")
    assert "deployment started" in {crumb.message for crumb in reports[0].breadcrumbs}
    health = api.ask("/health")
    assert health["checks"]["model"]["status"] == "degraded"

    registry.bundles["2"] = archives.second.read_bytes()
    with monitoring.testing.captured() as reports:
        assert reload(api).status_code == 200
    assert version(api) == "2"
    assert [report.point_id for report in reports.recovered] == ["model.deployment_failed", "model.source_not_found"]
    assert {report.tags["model_name"] for report in reports.recovered} == {"ranker"}
    assert all(report.tags["deployment_id"] for report in reports.recovered)


def test_a_failed_activation_is_resolved_when_the_registry_goes_back(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any
) -> None:
    api = start(model_poll_seconds=3600)
    good = registry.active
    registry.deploy(registry.push("2", archives.second))
    registry.bundles["2"] = b"not a bundle"
    assert reload(api).status_code == 409
    registry.active = good
    assert reload(api).json()["model_version"] == "1"
    assert api.ask("/health")["checks"]["model"]["status"] == "healthy"


def test_a_bundle_that_the_store_lost_is_source_not_found(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any
) -> None:
    api = start(model_poll_seconds=3600)
    registry.deploy(registry.push("2", archives.second))
    del registry.bundles["2"]
    with monitoring.testing.captured() as reports:
        assert reload(api).status_code == 409
    assert reports.point_ids == ["model.source_not_found"]
    assert reports[0].tags["source"].endswith("/models/ranker/versions/2/bundle")
    assert version(api) == "1"


def repacked(folder: Path, archive: Path) -> Path:
    """Pack a changed bundle folder with checksums that hold."""
    write_manifest(folder, read_manifest(folder))
    pack(folder, archive)
    return archive


@pytest.mark.parametrize(
    ("name", "content", "stage"),
    [("ranker.txt", b"not a model", "load"), ("golden.json", None, "validate"), ("content.npy", b"", "load")],
)
def test_a_bundle_that_does_not_load_or_fails_its_golden_requests_is_rejected(
    start: Callable[..., RunningApp],
    registry: FakeRegistry,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    stage: str,
) -> None:
    folder = tiny_bundle(tmp_path / "bundle", seed=1)
    if content is None:
        golden = json.loads((folder / name).read_bytes())
        golden[0]["expected_scores"][0] += 0.1
        content = json.dumps(golden).encode()
    (folder / name).write_bytes(content)
    api = start(model_poll_seconds=3600)
    registry.deploy(registry.push("2", repacked(folder, tmp_path / "bad.tar.gz")))
    with monitoring.testing.captured() as reports:
        assert reload(api).status_code == 409
    assert [report.tags["stage"] for report in reports] == [stage]
    assert version(api) == "1"


def test_damaged_precomputed_lists_cost_only_themselves(
    start: Callable[..., RunningApp], registry: FakeRegistry, tmp_path: Path
) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "precomputed_items.npy").write_bytes(b"damaged")
    registry.deploy(registry.push("2", repacked(folder, tmp_path / "damaged.tar.gz")))
    with monitoring.testing.captured() as reports:
        api = start()
        assert api.ask("/similar/105")["fallback_level"] == 0
    assert reports.point_ids == ["fallback.precomputed_load_failed"]
    assert reports[0].tags["precomputed_path"].endswith("precomputed_items.npy")


def test_precomputed_lists_damaged_on_the_disk_of_a_replica_cost_only_themselves(
    start: Callable[..., RunningApp], registry: FakeRegistry, tmp_path: Path
) -> None:
    start().__exit__(None, None, None)
    (scores,) = (tmp_path / "models" / "bundles").glob("*/precomputed_scores.npy")
    scores.write_bytes(scores.read_bytes()[:-4] + b"\x00\x00\x80\x7f")
    with monitoring.testing.captured() as reports:
        assert start().ask("/similar/105")["fallback_level"] == 0
    assert reports.point_ids == ["fallback.precomputed_load_failed"]


def damage(folder: Path, deployment: dict[str, Any], name: str) -> None:
    """Change a file of a bundle on the disk of the replica so that only its checksum shows it."""
    path = folder / "models" / "bundles" / str(deployment["sha256"]) / name
    path.write_bytes(path.read_bytes()[:-4] + b"\x01\0\0\0")


def test_a_bundle_damaged_on_the_disk_of_a_replica_is_downloaded_again(
    start: Callable[..., RunningApp], registry: FakeRegistry, tmp_path: Path
) -> None:
    start().__exit__(None, None, None)
    assert registry.active is not None
    damage(tmp_path, registry.active["primary"], "content.npy")
    with monitoring.testing.captured() as reports:
        assert version(start()) == "1"
    assert [(report.point_id, report.tags["stage"]) for report in reports] == [("model.deployment_failed", "load")]
    assert registry.downloads == 2


def test_a_rollback_uses_the_bundle_on_the_disk_if_it_is_undamaged(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any, tmp_path: Path
) -> None:
    api = start(model_poll_seconds=3600)
    assert registry.active is not None
    first, second = registry.active["primary"], registry.push("2", archives.second)

    def change_to(deployment: dict[str, Any]) -> int:
        registry.deploy(deployment)
        return int(reload(api).status_code)

    assert [change_to(second), change_to(first)] == [200, 200]
    assert registry.downloads == 2

    damage(tmp_path, second, "precomputed_items.npy")
    with monitoring.testing.captured() as reports:
        assert change_to(second) == 200
    assert reports.point_ids == ["fallback.precomputed_load_failed"]
    assert (version(api), registry.downloads) == ("2", 2)

    damage(tmp_path, first, "content.npy")
    with monitoring.testing.captured() as reports:
        assert change_to(first) == 409
    assert [report.tags["stage"] for report in reports] == ["load"]
    assert version(api) == "2"
    assert reload(api).status_code == 200
    assert (version(api), registry.downloads) == ("1", 3)


def test_only_the_bundle_stays_of_a_download(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any, tmp_path: Path
) -> None:
    api = start(model_poll_seconds=3600)
    registry.deploy(registry.push("2", archives.second))
    registry.bundles["2"] = b"not a bundle"
    assert reload(api).status_code == 409
    registry.bundles["2"] = archives.second.read_bytes()
    assert reload(api).status_code == 200
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"active.json", "bundles"}
    assert not list((tmp_path / "models").rglob("*.tar.gz"))


def test_a_replica_starts_with_the_last_good_bundle_while_the_registry_is_down(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any, until: Until
) -> None:
    start().__exit__(None, None, None)
    registry.mode = "503"
    with monitoring.testing.captured() as reports:
        api = start()
        assert version(api) == "1"
        until(lambda: api.ask("/health")["checks"]["registry"]["status"] == "unhealthy")
        assert reload(api).status_code == 503
    assert reports == []
    registry.deploy(registry.push("2", archives.second))
    registry.mode = "ok"
    until(lambda: version(api) == "2")


@pytest.mark.parametrize("content", [b"not json", b"{}", b'{"name": "ranker", "primary": null}', b"\xff"])
def test_a_saved_deployment_that_is_not_valid_is_reported_and_the_registry_is_polled(
    start: Callable[..., RunningApp], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "active.json").write_bytes(content)
    with monitoring.testing.captured() as reports:
        assert version(start()) == "1"
    assert reports.point_ids == ["model.registry_parse_failed"]
    assert reports[0].tags["registry_path"].endswith("active.json")
    assert reports[0].tags["model_name"] == "ranker"


def test_an_invalid_answer_of_the_registry_is_reported_and_the_previous_model_keeps_serving(
    start: Callable[..., RunningApp], registry: FakeRegistry
) -> None:
    api = start(model_poll_seconds=3600)
    registry.mode = "garbage"
    with monitoring.testing.captured() as reports:
        assert reload(api).status_code == 503
    assert reports.point_ids == ["model.registry_parse_failed"]
    assert version(api) == "1"


def test_old_bundles_leave_the_disk_but_for_one(
    start: Callable[..., RunningApp], registry: FakeRegistry, tmp_path: Path
) -> None:
    api = start(model_poll_seconds=3600)
    for number in range(2, 5):
        folder = tiny_bundle(tmp_path / f"v{number}", version=str(number), size=Size(60))
        registry.deploy(registry.push(str(number), repacked(folder, tmp_path / f"{number}.tar.gz")))
        assert reload(api).status_code == 200
    assert len(list((tmp_path / "models" / "bundles").iterdir())) == 2


def test_a_canary_gets_its_share_of_users_and_always_the_same_ones(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any
) -> None:
    canary = registry.push("2", archives.second) | {"rollout": 0.3}
    assert registry.active is not None
    registry.deploy(registry.active["primary"], canary)
    api = start()
    answers = {user: api.ask(f"/recommend/user/{user}", limit=1) for user in range(1, 41)}
    arms = {(a["model_version"], a["model_variant"], a["experiment_variant"]) for a in answers.values()}
    assert arms == {("1", "primary", "control"), ("2", "canary", "canary-2")}
    for user in (1, 2, 3):
        assert api.ask(f"/recommend/user/{user}", limit=1)["model_version"] == answers[user]["model_version"]
    assert api.ask("/similar/105")["experiment_variant"] is None


def test_a_canary_that_is_rolled_back_leaves_at_once(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any
) -> None:
    assert registry.active is not None
    primary = registry.active["primary"]
    registry.deploy(primary, registry.push("2", archives.second) | {"rollout": 0.5})
    api = start(model_poll_seconds=3600)
    users = range(1, 41)
    asked = {user: api.ask(f"/recommend/user/{user}", limit=1) for user in users}
    assert {answer["model_variant"] for answer in asked.values()} == {"primary", "canary"}
    registry.deploy(primary)
    reload(api)
    for user in users:
        answer = api.ask(f"/recommend/user/{user}", limit=1)
        assert (answer["model_version"], answer["experiment_variant"]) == ("1", None)
    assert 'version="2"' not in api.get("/metrics").text


def test_answers_are_counted_by_experiment_and_version(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any
) -> None:
    assert registry.active is not None
    registry.deploy(registry.active["primary"], registry.push("2", archives.second) | {"rollout": 0.5})
    api = start()
    answers = [api.ask(f"/recommend/user/{user}", limit=1) for user in range(1, 41)]
    canaries = sum(answer["model_variant"] == "canary" for answer in answers)
    metrics = api.get("/metrics").text
    for experiment, variant, version, count in (
        ("canary-2", "canary", "2", canaries),
        ("control", "primary", "1", 40 - canaries),
    ):
        labels = (
            f'endpoint="/recommend/user",experiment="{experiment}",level="0",reason="",'
            f'variant="{variant}",version="{version}"'
        )
        assert f"recommender_requests_total{{{labels}}} {count}.0" in metrics


def test_exposures_name_the_arm_of_the_experiment(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any, redis_client: redis.Redis, until: Until
) -> None:
    assert registry.active is not None
    registry.deploy(registry.active["primary"], registry.push("2", archives.second) | {"rollout": 0.5})
    api = start()
    sides = {user: api.ask(f"/recommend/user/{user}", limit=2)["experiment_variant"] for user in range(1, 21)}

    def logged() -> dict[int, str | None]:
        entries = redis_client.xrange(redis_keys.EVENT_STREAM)
        shown = [read_entry(fields) for _, fields in entries]
        return {each.user_id: each.experiment_variant for each in shown if isinstance(each, Exposure) and each.user_id}

    until(lambda: logged() == sides)
    assert set(sides.values()) == {"canary-2", "control"}


def test_the_series_of_a_version_that_left_are_removed(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any
) -> None:
    api = start(model_poll_seconds=3600)
    api.ask("/similar/105")
    assert 'version="1"' in api.get("/metrics").text
    registry.deploy(registry.push("2", archives.second))
    reload(api)
    api.ask("/similar/105")
    metrics = api.get("/metrics").text
    assert 'version="2"' in metrics
    assert 'version="1"' not in metrics


def canary_users(model: LoadedModel, version: str, rollout: float, users: range) -> set[int]:
    deployment = model.deployment.model_copy(update={"version": version, "rollout": rollout})
    serving = Serving("ranker", model, LoadedModel(deployment, model.manifest, model.engine), SINCE)
    return {user for user in users if serving.arm(user).variant == "canary"}


@pytest.mark.parametrize("rollout", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_canarys_share_of_100_000_users_is_the_rollout(model: LoadedModel, rollout: float) -> None:
    users = range(1, 100_001)
    assert len(canary_users(model, "2", rollout, users)) / len(users) == pytest.approx(rollout, abs=0.01)


def test_a_larger_rollout_keeps_the_users_of_the_smaller_one(model: LoadedModel) -> None:
    users = range(1, 10_001)
    assert canary_users(model, "2", 0.1, users) < canary_users(model, "2", 0.3, users)


def test_each_experiment_draws_its_users_anew(model: LoadedModel) -> None:
    users = range(1, 100_001)
    second, third = canary_users(model, "2", 0.3, users), canary_users(model, "3", 0.3, users)
    assert len(second & third) / len(users) == pytest.approx(0.3 * 0.3, abs=0.01)


@pytest.mark.anyio
async def test_a_failed_activation_is_retried_with_growing_waits_and_reported_once(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.bundles["1"] = b"damaged"
    now = 0.0
    attempts = []
    async with httpx.AsyncClient() as client:
        source = ReplicaRegistry(client, registry.url, SecretStr("token"), "ranker")
        poller = RegistryPoller(
            Models(), source, BundleCache(tmp_path), model_name="ranker", replica_id="r", clock=lambda: now
        )
        with monitoring.testing.captured() as reports:
            for second in range(100):
                now = float(second)
                before = registry.downloads
                await poller.poll()
                if registry.downloads > before:
                    attempts.append(second)
    assert attempts == [0, 1, 6, 36, 96]
    assert reports.point_ids == ["model.deployment_failed"]
