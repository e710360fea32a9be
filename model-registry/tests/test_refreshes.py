"""A refresh renews the statistics of a trained model: it belongs to that model, and serves only in its place."""

from pathlib import Path

import sqlalchemy as sa
from pydantic import SecretStr

import monitoring.testing
from contracts.data_checks import DataCheck
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from refresh_bundles import archive, pushed
from running_registry import RunningRegistry

CRITICAL = DataCheck(check="interactions.empty", severity="critical", value=0, threshold=1)


def served(registry: RunningRegistry, folder: Path) -> tuple[str, str]:
    """Push two trained models, deploy the first, and return both versions."""
    first, second = (registry.push_new(folder, seed=seed) for seed in (1, 2))
    assert registry.deploy(first).status_code == 201
    return first, second


def test_refreshes_of_the_model_in_service_follow_each_other_without_a_metric(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    trained, _ = served(registry, tmp_path)
    for seed in (11, 12):
        refresh = pushed(registry, tmp_path, trained, seed=seed)
        assert registry.deploy(refresh).status_code == 201
        assert registry.active() == refresh


def test_a_refresh_of_another_model_is_rejected_and_raises_no_alert(registry: RunningRegistry, tmp_path: Path) -> None:
    first, second = served(registry, tmp_path)
    refresh = pushed(registry, tmp_path, second, seed=11)
    with monitoring.testing.captured() as reports:
        rejected = registry.deploy(refresh)
    assert (rejected.status_code, registry.active()) == (409, first)
    assert f"refreshes version {second}, but the model in service is version {first}" in rejected.json()["detail"]
    assert list(reports) == []
    states = [each["state"] for each in registry.http.get("/models/ranker/deployments").json()["deployments"]]
    assert states == ["active"]


def test_a_refresh_is_no_canary_and_needs_sound_data(registry: RunningRegistry, tmp_path: Path) -> None:
    trained, _ = served(registry, tmp_path)
    refresh = pushed(registry, tmp_path, trained, seed=11)
    assert registry.deploy(refresh, mode="canary", rollout=0.1).status_code == 409
    unsound = pushed(registry, tmp_path, trained, seed=12, data_checks=[CRITICAL])
    rejected = registry.deploy(unsound)
    assert (rejected.status_code, rejected.json()["detail"].split(":")[0]) == (409, "gate")
    assert "interactions.empty" in rejected.json()["detail"]


def test_a_rollback_leaves_the_trained_model_behind_and_restores_what_served_before_it(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    first, second = served(registry, tmp_path)
    refresh_of_first = pushed(registry, tmp_path, first, seed=11)
    registry.deploy(refresh_of_first)
    assert registry.deploy(second).status_code == 201
    registry.deploy(pushed(registry, tmp_path, second, seed=12))
    rolled_back = registry.http.post("/models/ranker/rollback")
    assert (rolled_back.status_code, registry.active()) == (201, refresh_of_first)
    # The model that was restored can be refreshed again, and there is none before it.
    assert registry.deploy(pushed(registry, tmp_path, first, seed=13)).status_code == 201
    assert registry.http.post("/models/ranker/rollback").status_code == 409


def test_a_new_model_is_compared_with_the_trained_one_that_a_refresh_renews(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    trained, _ = served(registry, tmp_path)
    registry.deploy(pushed(registry, tmp_path, trained, seed=11))
    rejected = registry.deploy(registry.push_new(tmp_path, seed=3, ndcg=0.1))
    assert (rejected.status_code, "the active version's 0.2000" in rejected.json()["detail"]) == (409, True)


def test_a_refresh_names_a_trained_version_that_exists(registry: RunningRegistry, tmp_path: Path) -> None:
    trained = registry.push_new(tmp_path, seed=1)
    refresh = pushed(registry, tmp_path, trained, seed=11)
    for wrong, why in (("9", "no version '9'"), (refresh, f"itself a refresh of version {trained}")):
        answer = registry.push(archive(tmp_path, wrong, seed=20 + int(wrong)))
        assert (answer.status_code, why in answer.json()["detail"]) == (422, True), answer.text


def test_versions_of_the_release_before_are_trained_ones_after_the_migration(tmp_path: Path, sandbox: Sandbox) -> None:
    settings = Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr("token-of-the-registry"),
    )
    with RunningRegistry(settings, sandbox) as registry:
        trained = registry.push_new(tmp_path, seed=1)
    (stored,) = tmp_path.glob("recsys.db*registry*")
    engine = sa.create_engine(f"sqlite:///{stored}")
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE versions DROP COLUMN refreshes"))
        connection.execute(sa.text("DROP TABLE audit_log"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    with RunningRegistry(settings, sandbox) as registry:
        assert registry.deploy(trained).status_code == 201
        refresh = pushed(registry, tmp_path, trained, seed=11)
        assert registry.deploy(refresh).status_code == 201
