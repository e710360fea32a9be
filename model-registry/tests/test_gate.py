"""The gate compares the models behind two versions on the same queries, which neither has seen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from evaluated_versions import EvaluatedVersions, base_part, degrade

import monitoring.testing
from contracts.bundle import pack, read_manifest, write_manifest
from model_registry.sandbox.client import Sandbox
from ranking.evaluation import EvaluationPart, compare
from ranking.evaluation.part import MAX_BYTES
from ranking.testing import tiny_bundle
from refresh_bundles import pushed as pushed_refresh
from running_registry import RunningRegistry

TOKEN = "the-registry-token"


@pytest.fixture(scope="module")
def small() -> EvaluationPart:
    return base_part(800)


@pytest.fixture(scope="module")
def large() -> EvaluationPart:
    return base_part(4000)


@pytest.fixture
def versions(registry: RunningRegistry, tmp_path: Path) -> EvaluatedVersions:
    return EvaluatedVersions(registry, tmp_path)


# What is scored doesn't depend on the database.
ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def rejected_by_the_gate(answer: httpx.Response, message: str) -> bool:
    detail = answer.json()["detail"]
    assert message in detail
    assert detail.endswith("; `force` with a reason deploys it anyway")
    return answer.status_code == 409 and detail.startswith("gate: ")


def newest(registry: RunningRegistry) -> dict[str, Any]:
    line: dict[str, Any] = registry.http.get("/models/ranker/deployments").json()["deployments"][0]
    return line


@ON_ONE_DATABASE
def test_a_model_5_percent_worse_is_rejected_on_4000_queries_and_one_as_good_is_not(
    registry: RunningRegistry, versions: EvaluatedVersions, large: EvaluationPart
) -> None:
    active = versions.push(large)
    assert registry.deploy(active).status_code == 201
    equal = versions.push(large, share=0.01)
    assert registry.deploy(equal).status_code == 201
    assert f"against version {active} on 4,000 queries" in newest(registry)["detail"]
    worse = versions.push(large, share=0.16)
    with monitoring.testing.captured() as reports:
        answer = registry.deploy(worse)
    assert rejected_by_the_gate(answer, f"version {worse} is worse: nDCG@10 -")
    assert (newest(registry)["state"], newest(registry)["failed_stage"]) == ("failed", "gate")
    assert reports.point_ids == ["model.deployment_failed"]
    assert registry.active() == equal
    forced = registry.deploy(worse, force=True, reason="a hotfix of the catalogue")
    assert forced.status_code == 201
    assert (newest(registry)["detail"], newest(registry)["reason"]) == (
        "forced: not compared",
        "a hotfix of the catalogue",
    )


@ON_ONE_DATABASE
def test_nights_that_each_lose_3_percent_are_stopped_by_the_best_of_the_last_ones(
    registry: RunningRegistry, versions: EvaluatedVersions, sandbox: Sandbox, small: EvaluationPart
) -> None:
    # Each loses 3 % of nDCG@10, which is within the noise of 800 queries.
    first, *others = (versions.push(small, share=share) for share in (0.0, 0.10, 0.16, 0.26))
    answers = [registry.deploy(version) for version in (first, *others)]
    assert [each.status_code for each in answers] == [201, 201, 201, 409]
    assert rejected_by_the_gate(answers[-1], f"version {others[-1]} is worse: nDCG@10 -9")
    assert f"against version {first} on 800 queries" in answers[-1].json()["detail"]
    only_active = registry.settings.model_copy(update={"model_gate_best_of": 0})
    with RunningRegistry(only_active, sandbox) as lenient:
        assert lenient.deploy(others[-1]).status_code == 201


def test_a_shadow_a_refresh_a_rollback_and_the_active_version_itself_are_not_compared(
    registry: RunningRegistry, versions: EvaluatedVersions, tmp_path: Path, small: EvaluationPart
) -> None:
    good, bad = versions.push(small), versions.push(small, share=1.0)
    assert registry.deploy(bad).status_code == 201
    assert registry.deploy(good).status_code == 201
    assert registry.deploy(bad, mode="shadow").status_code == 201
    assert registry.deploy(bad, mode="canary", rollout=0.1).status_code == 409
    assert registry.deploy(good).status_code == 201
    assert registry.deploy(pushed_refresh(registry, tmp_path, good, seed=11)).status_code == 201
    assert registry.http.post("/models/ranker/rollback").json()["version"] == bad


Change = Callable[[EvaluationPart], EvaluationPart]


def few_queries(part: EvaluationPart) -> EvaluationPart:
    return base_part(499)


def of_another_catalogue(part: EvaluationPart) -> EvaluationPart:
    return replace(part, twin=replace(part.twin, ids=part.twin.ids + 10_000))


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (few_queries, "499 queries are too few to compare version 2 with version 1, 500 are needed"),
        (of_another_catalogue, "it is of another marketplace"),
    ],
)
def test_what_cannot_be_compared_is_rejected_unless_it_is_forced(
    registry: RunningRegistry, versions: EvaluatedVersions, small: EvaluationPart, change: Change, message: str
) -> None:
    registry.deploy(versions.push(small))
    odd = versions.push(change(small))
    assert rejected_by_the_gate(registry.deploy(odd), message)
    assert registry.deploy(odd, force=True).status_code == 422
    assert registry.deploy(odd, force=True, reason=" ").status_code == 422
    assert registry.deploy(odd, force=True, reason="own data").status_code == 201


def test_after_a_forced_change_of_the_catalogue_versions_of_the_earlier_one_have_no_say(
    registry: RunningRegistry, versions: EvaluatedVersions, small: EvaluationPart
) -> None:
    registry.deploy(versions.push(small))
    own = of_another_catalogue(small)
    # The first has measured the highest nDCG@10 of all, on its own queries.
    assert registry.deploy(versions.push(own, share=0.10), force=True, reason="own data").status_code == 201
    assert registry.deploy(versions.push(own, share=0.10)).status_code == 201
    newest = registry.http.get("/models/ranker/deployments").json()["deployments"][0]
    assert "against version 2 on 800 queries; not compared with version 1: " in newest["detail"]
    assert rejected_by_the_gate(registry.deploy(versions.push(own, share=0.9)), "is worse")


def test_a_model_below_its_baseline_is_rejected_and_one_without_a_part_by_its_metric_as_before(
    registry: RunningRegistry, versions: EvaluatedVersions, tmp_path: Path, small: EvaluationPart
) -> None:
    registry.deploy(versions.push(small))

    def pushed(name: str, metrics: dict[str, float]) -> str:
        folder = tiny_bundle(tmp_path / name, version=name, seed=20)
        write_manifest(folder, read_manifest(folder).model_copy(update={"metrics": metrics}))
        pack(folder, tmp_path / f"{name}.tar.gz")
        return str(registry.push(tmp_path / f"{name}.tar.gz").json()["version"])

    below = pushed("below", {"ndcg@10": 0.3, "below_baseline": 1.0})
    assert rejected_by_the_gate(registry.deploy(below), "is below baseline: a simpler model answers better")
    assert rejected_by_the_gate(
        registry.deploy(pushed("none", {})), "not evaluated: the manifest has no metric ndcg@10"
    )
    low = pushed("low", {"ndcg@10": 0.1})
    assert rejected_by_the_gate(registry.deploy(low), "ndcg@10 is 0.1000, the active version's 0.2000")
    assert registry.deploy(pushed("usual", {"ndcg@10": 0.195})).status_code == 201


def test_a_version_that_is_deployed_while_another_is_compared_is_compared_with_it(
    registry: RunningRegistry, versions: EvaluatedVersions, small: EvaluationPart
) -> None:
    bad, good, candidate = (versions.push(small, share=share) for share in (0.9, 0.0, 0.9))
    registry.deploy(bad)
    answers = [registry.deploy(good), registry.deploy(candidate, expected_active=bad)]
    assert [each.status_code for each in answers] == [201, 409]
    assert "expected_active is 1" in answers[1].json()["detail"]
    assert newest(registry)["state"] == "active"


def test_a_part_is_checked_stored_once_and_handed_out_to_no_stranger(
    registry: RunningRegistry,
    versions: EvaluatedVersions,
    stranger: httpx.Client,
    tmp_path: Path,
    small: EvaluationPart,
) -> None:
    version = versions.push(small)
    path = f"/models/ranker/versions/{version}"
    summary = registry.http.get(path).json()["evaluation"]
    assert (summary["run_id"], summary["queries"]) == ("run-1", 800)
    assert 0.05 < summary["ndcg@10"] < 0.5
    again = tmp_path / "run-1.zip"
    stored = tmp_path / "artifacts" / "models" / "ranker" / f"{summary['sha256']}.evaluation.zip"
    stored.write_bytes(b"damaged")
    assert registry.put_evaluation(version, again).status_code == 200
    assert stored.read_bytes() == again.read_bytes()
    assert stranger.put(f"{path}/evaluation", content=b"").status_code == 401
    assert stranger.get(f"{path}/evaluation").status_code == 401
    assert registry.http.get(f"{path}/evaluation").content == again.read_bytes()

    other = versions.write(replace(small, manifest=small.manifest.model_copy(update={"run_id": "run-1", "share": 0.5})))
    conflict = registry.put_evaluation(version, other)
    assert (conflict.status_code, "has another evaluation part" in conflict.json()["detail"]) == (409, True)
    assert registry.put_evaluation("99", again).status_code == 404
    refresh = pushed_refresh(registry, tmp_path, version, seed=11)
    assert "is a refresh of version" in registry.put_evaluation(refresh, again).json()["detail"]

    fresh = versions.push(None)
    no_part, large_part, bad_position = tmp_path / "no.zip", tmp_path / "large.zip", tmp_path / "position.zip"
    no_part.write_bytes(b"no part")
    large_part.write_bytes(bytes(MAX_BYTES + 1))
    answer_beyond = replace(small.queries, answer=small.queries.answer + 79)
    versions.write(
        replace(small, queries=answer_beyond, manifest=small.manifest.model_copy(update={"run_id": "run-2"}))
    )
    bad_position.write_bytes((tmp_path / "run-2.zip").read_bytes())
    rejected = {
        no_part: (422, "evaluation: not a readable evaluation part"),
        bad_position: (422, "evaluation: answer.bin: a number is not within 0 … 79"),
        again: (422, "evaluation: run_id: is run-1, the bundle is of the run run-2-abc"),
        large_part: (413, "evaluation: larger than 5 MB"),
    }
    for part, (status, message) in rejected.items():
        answer = registry.put_evaluation(fresh, part)
        assert (answer.status_code, message in answer.json()["detail"]) == (status, True), answer.text
        assert str(tmp_path) not in answer.text
    assert registry.put_evaluation(fresh, again, sha256="0" * 64).status_code == 422
    assert registry.http.get(f"/models/ranker/versions/{fresh}").json()["evaluation"] is None


def test_retention_removes_the_part_with_the_bundle_and_both_can_be_pushed_again(
    registry: RunningRegistry, sandbox: Sandbox, tmp_path: Path, small: EvaluationPart
) -> None:
    changes = {"bundle_retention_trained": 1, "bundle_retention_days": 0}
    with RunningRegistry(registry.settings.model_copy(update=changes), sandbox) as strict:
        versions = EvaluatedVersions(strict, tmp_path)
        first, second = versions.push(small), versions.push(small, share=0.1)
        strict.deploy(second)
        folder = tmp_path / "artifacts" / "models" / "ranker"
        shown = {each: strict.http.get(f"/models/ranker/versions/{each}").json() for each in (first, second)}
        parts = {each: folder / f"{detail['evaluation']['sha256']}.evaluation.zip" for each, detail in shown.items()}
        assert strict.http.post("/models/ranker/retention", json={"dry_run": False}).json()["files_left"] == 0
        assert (parts[first].exists(), parts[second].exists()) == (False, True)
        assert strict.put_evaluation(first, tmp_path / "run-1.zip").status_code == 409
        assert strict.push(tmp_path / "run-1.tar.gz").json()["version"] == first
        assert strict.put_evaluation(first, tmp_path / "run-1.zip").status_code == 200
        assert parts[first].exists()


def test_a_degraded_twin_has_the_loss_that_its_share_says(large: EvaluationPart) -> None:
    found = compare(large, large.twin, degrade(large.twin, 0.16))
    assert -0.055 < found.difference / found.first < -0.05


def test_a_canary_needs_a_rollout_a_primary_has_none_and_no_version_is_its_own_canary(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    first, second = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2)
    assert registry.deploy(first, rollout=0.5).status_code == 422
    # What a client of the release before sends with each deploy.
    assert registry.deploy(first, rollout=1.0).status_code == 201
    missing = registry.deploy(second, mode="canary")
    assert (missing.status_code, "a canary needs the share" in missing.text) == (422, True)
    assert registry.deploy(second, mode="shadow", rollout=0.2).status_code == 422
    for mode, more in (("canary", {"rollout": 0.1}), ("shadow", {})):
        own = registry.deploy(first, mode=mode, **more)
        assert (own.status_code, f"can't be its own {mode}" in own.json()["detail"]) == (409, True)
    assert registry.deploy(second, mode="canary", rollout=0.0).status_code == 201
