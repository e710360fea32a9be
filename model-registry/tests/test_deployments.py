from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import monitoring.testing
from contracts.bundle import FeatureSpec, catalogue_sketch, pack, read_manifest, write_manifest
from contracts.checksums import sha256_of
from contracts.features import FEATURE_SCHEMA, Feature, schema_of
from ranking.testing import tiny_bundle
from running_registry import RunningRegistry

# Only a canary has one.
ROLLOUT: dict[str, dict[str, float]] = {"canary": {"rollout": 0.1}, "shadow": {}}
FIRST_RELEASE = Path(__file__).parents[2] / "libs" / "ranking" / "tests" / "data" / "first_release.tar.gz"


def test_nothing_is_active_before_the_first_deployment(registry: RunningRegistry, tmp_path: Path) -> None:
    registry.push_new(tmp_path, seed=1)
    assert registry.http.get("/models/ranker/active").status_code == 404


def test_a_deployment_is_in_service_at_once(registry: RunningRegistry, tmp_path: Path) -> None:
    version = registry.push_new(tmp_path, seed=1)
    with monitoring.testing.captured() as reports:
        deployed = registry.deploy(version, reason="first")
    assert (deployed.status_code, deployed.json()["state"], deployed.json()["previous_version"]) == (
        201,
        "active",
        None,
    )
    active = registry.http.get("/models/ranker/active").json()
    assert (active["primary"]["version"], active["canary"], active["shadow"]) == (version, None, None)
    assert active["primary"]["sha256"] == sha256_of(tmp_path / "1.tar.gz")
    assert registry.http.get(active["primary"]["bundle_url"]).content == (tmp_path / "1.tar.gz").read_bytes()
    assert list(reports) == []
    assert "model.deployment_failed" in {each.point_id for each in reports.recovered}


def test_the_active_deployment_has_an_etag_that_changes_with_it(registry: RunningRegistry, tmp_path: Path) -> None:
    first, second = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2)
    registry.deploy(first)
    etag = registry.http.get("/models/ranker/active").headers["etag"]
    assert registry.http.get("/models/ranker/active", headers={"If-None-Match": etag}).status_code == 304
    registry.deploy(second)
    changed = registry.http.get("/models/ranker/active", headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["primary"]["version"]) == (200, second)


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_a_bundle_damaged_in_the_store_is_rejected_by_its_checksum(registry: RunningRegistry, tmp_path: Path) -> None:
    good, bad = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2)
    registry.deploy(good)
    _flip_a_byte(registry.stored(bad))
    with monitoring.testing.captured() as reports:
        refused = registry.deploy(bad)
    assert (refused.status_code, refused.json()["detail"].split(":")[0]) == (422, "checksum")
    assert registry.active() == good
    (report,) = reports.of("model.deployment_failed")
    assert (report.fingerprint, report.level) == (("model", "deployment_failed"), "error")
    wanted = {"model_name": "ranker", "model_version": bad, "stage": "checksum", "target": "ranker/primary"}
    assert wanted.items() <= report.tags.items()
    assert [crumb.message for crumb in report.breadcrumbs] == ["deployment started"]
    line = registry.http.get("/models/ranker/deployments").json()["deployments"][0]
    assert (line["state"], line["failed_stage"], line["version"]) == ("failed", "checksum", bad)


def test_a_missing_bundle_has_a_point_of_its_own(registry: RunningRegistry, tmp_path: Path) -> None:
    version = registry.push_new(tmp_path, seed=1)
    registry.stored(version).unlink()
    with monitoring.testing.captured() as reports:
        refused = registry.deploy(version)
    assert (refused.status_code, refused.json()["detail"].split(":")[0]) == (409, "source")
    assert reports.point_ids == ["model.source_not_found"]


def _pushed(registry: RunningRegistry, folder: Path, archive: Path) -> str:
    pack(folder, archive)
    pushed = registry.push(archive)
    assert pushed.status_code == 201, pushed.text
    return str(pushed.json()["version"])


@pytest.mark.parametrize("stage", ["manifest", "load", "golden"])
def test_a_bundle_that_fails_its_golden_requests_or_lacks_files_is_rejected(
    registry: RunningRegistry, tmp_path: Path, stage: str
) -> None:
    folder = tiny_bundle(tmp_path / "contents")
    changes: dict[str, Any] = {}
    if stage == "manifest":
        changes["feature_schema"] = "0" * 16
    elif stage == "load":
        (folder / "ranker.txt").write_text("no model", encoding="utf-8")
    else:
        golden = (folder / "golden.json").read_text(encoding="utf-8")
        (folder / "golden.json").write_text(
            golden.replace('"expected_ids": [', '"expected_ids": [101,'), encoding="utf-8"
        )
    write_manifest(folder, read_manifest(folder).model_copy(update=changes))
    refused = registry.deploy(_pushed(registry, folder, tmp_path / "odd.tar.gz"))
    assert (refused.status_code, refused.json()["detail"].split(":")[0]) == (422, stage)


def test_a_bundle_of_the_first_release_is_deployed(registry: RunningRegistry) -> None:
    pushed = registry.push(FIRST_RELEASE)
    assert pushed.status_code == 201, pushed.text
    deployed = registry.deploy(str(pushed.json()["version"]))
    assert (deployed.status_code, deployed.json()["state"]) == (201, "active")


def test_a_bundle_with_a_feature_that_is_not_computed_is_rejected_with_its_name(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    folder = tiny_bundle(tmp_path / "contents")
    manifest = read_manifest(folder)
    features = [*manifest.features, FeatureSpec(name="moon_phase", dtype="float32", default=0.0)]
    schema = schema_of(Feature(**spec.model_dump()) for spec in features)
    write_manifest(folder, manifest.model_copy(update={"features": features, "feature_schema": schema}))
    refused = registry.deploy(_pushed(registry, folder, tmp_path / "odd.tar.gz"))
    detail = "manifest: this release does not compute the features moon_phase"
    assert (refused.status_code, refused.json()["detail"]) == (422, detail)


def test_a_bundle_whose_schema_does_not_match_its_features_is_rejected_with_both(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    folder = tiny_bundle(tmp_path / "contents")
    write_manifest(folder, read_manifest(folder).model_copy(update={"feature_schema": "0" * 16}))
    refused = registry.deploy(_pushed(registry, folder, tmp_path / "odd.tar.gz"))
    detail = f"manifest: feature_schema is {'0' * 16}, that of its features is {FEATURE_SCHEMA}"
    assert (refused.status_code, refused.json()["detail"]) == (422, detail)


def test_the_gate_rejects_a_worse_model_and_force_overrides_it(registry: RunningRegistry, tmp_path: Path) -> None:
    good = registry.push_new(tmp_path, seed=1, ndcg=0.2)
    slightly_worse = registry.push_new(tmp_path, seed=2, ndcg=0.195)
    much_worse = registry.push_new(tmp_path, seed=3, ndcg=0.1)
    registry.deploy(good)
    refused = registry.deploy(much_worse)
    assert (refused.status_code, refused.json()["detail"].split(":")[0]) == (409, "gate")
    assert registry.active() == good
    assert registry.deploy(slightly_worse).status_code == 201
    assert registry.deploy(much_worse, force=True, reason="test").status_code == 201


def test_models_of_different_marketplaces_are_not_compared(registry: RunningRegistry, tmp_path: Path) -> None:
    def pushed(name: str, titles: range, ndcg: float) -> str:
        folder = tiny_bundle(tmp_path / name, version=name, ndcg=ndcg)
        sketch = catalogue_sketch(f"title {number}" for number in titles)
        write_manifest(folder, read_manifest(folder).model_copy(update={"catalogue_sketch": sketch}))
        return _pushed(registry, folder, tmp_path / f"{name}.tar.gz")

    registry.deploy(pushed("demo", range(1_000), 0.3))
    replaced = registry.deploy(pushed("own", range(1_000, 2_000), 0.1))
    assert replaced.status_code == 201
    assert "0% of their titles" in registry.http.get("/models/ranker/deployments").json()["deployments"][0]["detail"]
    grown = registry.deploy(pushed("grown", range(1_000, 2_200), 0.05))
    assert (grown.status_code, grown.json()["detail"].split(":")[0]) == (409, "gate")


def test_a_rollback_goes_one_version_back_each_time(registry: RunningRegistry, tmp_path: Path) -> None:
    versions = [registry.push_new(tmp_path, seed=seed) for seed in (1, 2, 3)]
    for version in versions:
        registry.deploy(version)
    assert registry.http.post("/models/ranker/rollback", json={"reason": "worse"}).json()["version"] == versions[1]
    assert registry.active() == versions[1]
    assert registry.http.post("/models/ranker/rollback").json()["version"] == versions[0]
    nothing = registry.http.post("/models/ranker/rollback")
    assert (nothing.status_code, registry.active()) == (409, versions[0])
    states = [line["state"] for line in registry.http.get("/models/ranker/deployments").json()["deployments"]]
    assert states == ["active", "rolled_back", "rolled_back", "replaced", "replaced"]


def test_a_canary_needs_a_primary_and_is_served_beside_it(registry: RunningRegistry, tmp_path: Path) -> None:
    first, second = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2)
    assert registry.deploy(first, mode="canary", rollout=0.1).status_code == 409
    registry.deploy(first)
    registry.deploy(second, mode="canary", rollout=0.1)
    active = registry.http.get("/models/ranker/active").json()
    assert (active["primary"]["version"], active["canary"]["version"], active["canary"]["rollout"]) == (
        first,
        second,
        0.1,
    )


def states(registry: RunningRegistry) -> list[tuple[str, str]]:
    return [
        (line["mode"], line["state"]) for line in registry.http.get("/models/ranker/deployments").json()["deployments"]
    ]


@pytest.mark.parametrize("mode", ["canary", "shadow"])
def test_a_canary_or_shadow_that_is_rolled_back_is_ended_and_the_primary_stays(
    registry: RunningRegistry, tmp_path: Path, mode: str
) -> None:
    first, second = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2)
    registry.deploy(first)
    nothing = registry.http.post("/models/ranker/rollback", json={"mode": mode})
    assert nothing.status_code == 409
    registry.deploy(second, mode=mode, **ROLLOUT[mode])
    ended = registry.http.post("/models/ranker/rollback", json={"mode": mode, "reason": "slow"})
    assert (ended.status_code, ended.json()["version"], ended.json()["state"]) == (201, second, "rolled_back")
    active = registry.http.get("/models/ranker/active").json()
    assert (active["primary"]["version"], active[mode]) == (first, None)
    assert states(registry) == [(mode, "rolled_back"), ("primary", "active")]
    line = registry.http.get("/models/ranker/deployments").json()["deployments"][0]
    assert line["detail"] == "rolled back by REGISTRY_TOKEN: slow"


@pytest.mark.parametrize("mode", ["canary", "shadow"])
def test_a_canary_or_shadow_that_becomes_primary_is_ended(registry: RunningRegistry, tmp_path: Path, mode: str) -> None:
    first, second, third = (registry.push_new(tmp_path, seed=seed) for seed in (1, 2, 3))
    registry.deploy(first)
    registry.deploy(second, mode=mode, **ROLLOUT[mode])
    registry.deploy(third)
    assert registry.http.get("/models/ranker/active").json()[mode]["version"] == second
    registry.deploy(second)
    active = registry.http.get("/models/ranker/active").json()
    assert (active["primary"]["version"], active[mode]) == (second, None)


def test_deployments_at_the_same_time_leave_one_active(registry: RunningRegistry, tmp_path: Path) -> None:
    versions = [registry.push_new(tmp_path, seed=seed) for seed in (1, 2, 3)]
    with ThreadPoolExecutor(6) as pool:
        statuses = [answer.status_code for answer in pool.map(registry.deploy, versions * 2)]
    assert set(statuses) == {201}
    lines = registry.http.get("/models/ranker/deployments").json()["deployments"]
    assert [line["state"] for line in lines].count("active") == 1
    assert lines[0]["state"] == "active"


def test_history_shows_author_reason_and_serving_replicas(registry: RunningRegistry, tmp_path: Path) -> None:
    version = registry.push_new(tmp_path, seed=1)
    registry.http.post(
        "/models/ranker/deployments",
        json={"version": version, "reason": "nightly"},
        headers={"X-Deployed-By": "ci"},
    )
    report = {"version": version, "state": "serving", "since": "2026-11-24T00:00:00Z"}
    for _ in range(2):
        assert registry.http.put("/models/ranker/replicas/api-1", json=report).status_code == 204
    history = registry.http.get("/models/ranker/deployments").json()
    assert (history["deployments"][0]["deployed_by"], history["deployments"][0]["reason"]) == ("ci", "nightly")
    assert [(each["replica_id"], each["version"]) for each in history["replicas"]] == [("api-1", version)]


@pytest.mark.parametrize("header", ["张伟".encode(), b"UTF-8''%E5%BC%A0%E4%BC%9F"])
def test_a_name_arrives_whole_in_bare_utf_8_and_in_the_form_of_rfc_8187(
    registry: RunningRegistry, tmp_path: Path, header: bytes
) -> None:
    version = registry.push_new(tmp_path, seed=1)
    answer = registry.http.post(
        "/models/ranker/deployments", json={"version": version}, headers={b"X-Deployed-By": header}
    )
    assert answer.status_code == 201, answer.text
    history = registry.http.get("/models/ranker/deployments").json()
    assert history["deployments"][0]["deployed_by"] == "张伟"


@pytest.mark.parametrize("header", [b"M\xfcller", b"UTF-8''%00", b"UTF-8''%E5", b"x" * 201, b"x" * 5000])
def test_an_invalid_name_is_rejected_before_the_deployment(
    registry: RunningRegistry, tmp_path: Path, header: bytes
) -> None:
    version = registry.push_new(tmp_path, seed=1)
    answer = registry.http.post(
        "/models/ranker/deployments", json={"version": version}, headers={b"X-Deployed-By": header}
    )
    assert answer.status_code == 422
    assert "X-Deployed-By" in answer.json()["errors"][0]["field"]
    assert registry.http.get("/models/ranker/deployments").json()["deployments"] == []


def test_an_unknown_version_is_404_and_not_a_failed_deployment(registry: RunningRegistry, tmp_path: Path) -> None:
    registry.push_new(tmp_path, seed=1)
    with monitoring.testing.captured() as reports:
        assert registry.deploy("7").status_code == 404
    assert list(reports) == []
