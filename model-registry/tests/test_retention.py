"""Old bundles are removed: rows first, files after them, and never a bundle that something needs."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from s3fs import S3FileSystem

import model_registry
import monitoring.testing
from localservers.waiting import wait_until
from model_registry.artifacts import ArtifactStore
from model_registry.database import Database, lock_model
from model_registry.retention.rule import Limits
from model_registry.retention.service import Retention
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from model_registry.tables import SCHEMA, rollouts, versions
from model_registry.versions import queries as version_queries
from ranking.testing import tiny_archive
from refresh_bundles import pushed as push_refresh
from running_registry import RunningRegistry
from servicekit.database import migrate, open_database
from testkit.s3_server import S3Server

TOKEN = "the-registry-token"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
        max_bundle_mb=8,
        bundle_retention_trained=1,
        bundle_retention_refreshes=1,
        bundle_retention_days=0,
    )


@pytest.fixture
def registry(settings: Settings, sandbox: Sandbox) -> Iterator[RunningRegistry]:
    """A registry that keeps as little as it may."""
    with RunningRegistry(settings, sandbox) as running:
        yield running


def retain(registry: RunningRegistry, *, dry_run: bool = False) -> dict[str, Any]:
    """Apply the retention and return its report."""
    answer = registry.http.post("/models/ranker/retention", json={"dry_run": dry_run})
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


def numbers(lines: list[dict[str, Any]]) -> list[str]:
    """Return the versions of a report's lines."""
    return [line["version"] for line in lines]


def three_served(registry: RunningRegistry, folder: Path) -> list[str]:
    """Push four models and deploy the first three: 1 is not kept, 2 is the predecessor, 3 is active, 4 is new."""
    pushed = [registry.push_new(folder, seed=seed) for seed in (1, 2, 3, 4)]
    for version in pushed[:3]:
        assert registry.deploy(version).status_code == 201
    return pushed


def test_nothing_is_removed_unless_the_call_says_so(registry: RunningRegistry, tmp_path: Path) -> None:
    files = [registry.stored(version) for version in three_served(registry, tmp_path)]
    for body in (None, {}, {"dry_run": True}):
        answer = registry.http.post("/models/ranker/retention", json=body).json()
        assert (answer["dry_run"], numbers(answer["removed"])) == (True, ["1"])
        assert answer["bytes_removed"] == files[0].stat().st_size
    assert all(file.is_file() for file in files)
    assert registry.deploy("1").status_code == 201


def test_a_removed_version_has_no_file_and_the_kept_ones_have_reasons(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    files = [registry.stored(version) for version in three_served(registry, tmp_path)]
    report = retain(registry)
    assert (report["dry_run"], numbers(report["removed"]), report["files_left"]) == (False, ["1"], 0)
    reasons = {line["version"]: line["reasons"] for line in report["kept"]}
    assert reasons == {"4": ["last_trained"], "3": ["active", "recent_primary"], "2": ["predecessor"]}
    assert [file.is_file() for file in files] == [False, True, True, True]
    assert numbers(retain(registry)["removed"]) == []


def test_canary_shadow_and_what_a_replica_reports_are_kept(registry: RunningRegistry, tmp_path: Path) -> None:
    pushed = [registry.push_new(tmp_path, seed=seed) for seed in (1, 2, 3, 4, 5)]
    registry.deploy(pushed[3])
    registry.deploy(pushed[0], mode="canary", rollout=0.1, force=True, reason="test")
    registry.deploy(pushed[1], mode="shadow", force=True, reason="test")
    status = {"version": pushed[2], "state": "serving", "since": "2026-01-01T00:00:00Z"}
    assert registry.http.put("/models/ranker/replicas/api-0", json=status).status_code == 204
    report = retain(registry)
    assert {line["version"]: line["reasons"][0] for line in report["kept"]} == {
        "1": "canary",
        "2": "shadow",
        "3": "replica",
        "4": "active",
        "5": "last_trained",
    }


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_rolled_out_and_what_it_stands_beside_are_kept_until_the_rollout_ends(
    registry: RunningRegistry, database_url: str, tmp_path: Path
) -> None:
    for seed in (1, 2, 3, 4, 5):
        registry.push_new(tmp_path, seed=seed)
    registry.deploy("4")
    engine, now = open_database(database_url, SCHEMA), datetime.now(UTC)
    with engine.begin() as connection:
        # It holds: its canary was withdrawn, and another version has become the primary.
        connection.execute(
            sa.insert(rollouts).values(
                model="ranker",
                version=1,
                primary_version=2,
                primary_trained=2,
                steps=[10, 100],
                step=0,
                every_seconds=60.0,
                state="holding",
                reason="the canary was withdrawn",
                created_at=now,
                step_since=now,
                evidence={},
            )
        )
    report = retain(registry)
    assert numbers(report["removed"]) == ["3"]
    reasons = {line["version"]: line["reasons"] for line in report["kept"]}
    assert (reasons["1"], reasons["2"]) == (["canary"], ["predecessor"])
    with engine.begin() as connection:
        connection.execute(sa.update(rollouts).values(state="stopped"))
    engine.dispose()
    assert numbers(retain(registry)["removed"]) == ["2", "1"]


def test_the_history_of_a_removed_version_stays_readable(registry: RunningRegistry, tmp_path: Path) -> None:
    three_served(registry, tmp_path)
    before = registry.http.get("/models/ranker/deployments").json()["deployments"]
    known = registry.http.get("/models/ranker/versions/1").json()
    retain(registry)
    assert registry.http.get("/models/ranker/deployments").json()["deployments"] == before
    detail = registry.http.get("/models/ranker/versions/1").json()
    assert detail.pop("removed_at") is not None
    assert detail == {key: value for key, value in known.items() if key != "removed_at"}
    listed = registry.http.get("/models/ranker").json()["versions"]
    assert [(each["version"], each["removed_at"] is not None) for each in listed] == [
        ("4", False),
        ("3", False),
        ("2", False),
        ("1", True),
    ]
    assert registry.push_new(tmp_path, seed=5) == "5"


def test_a_removed_version_is_neither_served_nor_deployed_and_that_raises_no_alert(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    three_served(registry, tmp_path)
    retain(registry)
    with monitoring.testing.captured() as reports:
        rejected = registry.deploy("1")
        bundle = registry.http.get("/models/ranker/versions/1/bundle")
    assert (rejected.status_code, registry.active()) == (409, "3")
    assert "retention removed the bundle of ranker 1" in rejected.json()["detail"]
    assert (bundle.status_code, "push it again" in bundle.json()["detail"]) == (404, True)
    assert list(reports) == []


def test_a_rollback_never_returns_to_a_removed_version(registry: RunningRegistry, tmp_path: Path) -> None:
    three_served(registry, tmp_path)
    retain(registry)
    assert registry.http.post("/models/ranker/rollback").json()["version"] == "2"
    nothing = registry.http.post("/models/ranker/rollback")
    assert (nothing.status_code, registry.active()) == (409, "2")


def refreshed_three_times(registry: RunningRegistry, folder: Path) -> list[tuple[str, str]]:
    """Deploy three trained models, each followed by a refresh of it; return the versions."""
    made = []
    for seed in (1, 2, 3):
        trained = registry.push_new(folder, seed=seed)
        assert registry.deploy(trained).status_code == 201
        refresh = push_refresh(registry, folder, trained, seed=10 + seed)
        assert registry.deploy(refresh).status_code == 201
        made.append((trained, refresh))
    return made


def test_the_refresh_to_which_a_rollback_returns_is_kept_with_its_trained_version(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    first, second, _ = refreshed_three_times(registry, tmp_path)
    report = retain(registry)
    assert numbers(report["removed"]) == [first[1], first[0]]
    reasons = {line["version"]: line["reasons"] for line in report["kept"]}
    assert (reasons[second[1]], reasons[second[0]]) == (["predecessor"], ["refreshed"])
    assert registry.http.post("/models/ranker/rollback").json()["version"] == second[1]
    assert registry.http.post("/models/ranker/rollback").status_code == 409


def test_a_rollback_past_removed_refreshes_returns_to_their_trained_version(
    settings: Settings, sandbox: Sandbox, tmp_path: Path
) -> None:
    with RunningRegistry(settings.model_copy(update={"bundle_retention_days": 90}), sandbox) as registry:
        first, second, _ = refreshed_three_times(registry, tmp_path)
        assert numbers(retain(registry)["removed"]) == [first[1]]
        rolled_back = [registry.http.post("/models/ranker/rollback").json()["version"] for _ in range(2)]
    assert rolled_back == [second[1], first[0]]


def test_a_removed_version_that_is_pushed_again_can_be_deployed(registry: RunningRegistry, tmp_path: Path) -> None:
    three_served(registry, tmp_path)
    retain(registry)
    again = registry.push(tmp_path / "1.tar.gz")
    assert (again.status_code, again.json()["version"], again.json()["removed_at"]) == (200, "1", None)
    assert registry.stored("1").is_file()
    assert registry.deploy("1").status_code == 201


def test_a_refresh_of_a_removed_version_is_rejected(registry: RunningRegistry, tmp_path: Path) -> None:
    three_served(registry, tmp_path)
    retain(registry)
    with pytest.raises(AssertionError, match="refreshes: retention removed the bundle of ranker 1"):
        push_refresh(registry, tmp_path, "1", seed=11)


def test_a_call_without_the_token_or_of_an_unknown_model_removes_nothing(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    three_served(registry, tmp_path)
    assert httpx.post(f"{registry.url}/models/ranker/retention", json={"dry_run": False}).status_code == 401
    assert registry.http.post("/models/other/retention", json={"dry_run": False}).status_code == 404
    assert registry.http.post("/models/ranker/retention", json={"dryrun": False}).status_code == 422
    assert registry.stored("1").is_file()


def test_a_file_that_a_killed_removal_left_is_deleted_at_the_next_start(
    settings: Settings, sandbox: Sandbox, tmp_path: Path
) -> None:
    with RunningRegistry(settings, sandbox) as registry:
        three_served(registry, tmp_path)
        file = registry.stored("1")
        retain(registry)
    # As if the process had been killed between the row and the file.
    shutil.copyfile(tmp_path / "1.tar.gz", file)
    with RunningRegistry(settings, sandbox) as registry:
        wait_until(lambda: not file.exists(), within=60, what="the file is deleted")
        assert registry.stored("2").is_file()


def test_a_file_that_cannot_be_deleted_is_counted_and_deleted_by_a_later_run(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    three_served(registry, tmp_path)
    file = registry.stored("1")
    file.unlink()
    file.mkdir()
    report = retain(registry)
    assert (numbers(report["removed"]), report["files_left"]) == (["1"], 1)
    assert registry.deploy("1").status_code == 409
    file.rmdir()
    shutil.copyfile(tmp_path / "1.tar.gz", file)
    assert (retain(registry)["files_left"], file.exists()) == (0, False)


def test_daily_retention_removes_at_the_start(settings: Settings, sandbox: Sandbox, tmp_path: Path) -> None:
    with RunningRegistry(settings, sandbox) as registry:
        three_served(registry, tmp_path)
        file = registry.stored("1")
    with RunningRegistry(settings.model_copy(update={"bundle_retention_daily": True}), sandbox) as registry:
        wait_until(lambda: not file.exists(), within=60, what="the bundle is removed")
        assert registry.http.get("/models/ranker/versions/1").json()["removed_at"] is not None


def test_a_daily_run_that_fails_for_one_model_removes_those_of_the_others_and_fails(tmp_path: Path) -> None:
    def remove_parts(model: str) -> None:
        if model == "alpha":
            raise RuntimeError("the parts of alpha")

    engine = open_database(f"sqlite:///{tmp_path}/recsys.db", SCHEMA)
    migrate(engine, SCHEMA, Path(str(model_registry.__file__)).parent / "migrations")
    database, store = Database(engine), ArtifactStore(str(tmp_path / "artifacts"))
    for model in ("alpha", "beta"):
        with database.transaction("test") as connection:
            lock_model(connection, model)
            for number in (1, 2):
                sha256 = store.put(tiny_archive(tmp_path / f"{model}-{number}.tar.gz", seed=number), model)
                row = {"sha256": sha256, "size": 1, "manifest": {}, "created_at": datetime.now(UTC)}
                connection.execute(sa.insert(versions).values(model=model, version=number, **row))
    for is_daily, left in ((False, 2), (True, 1)):
        retention = Retention(database, store, Limits(1, 1, 0), is_daily=is_daily, remove_parts=remove_parts)
        if is_daily:
            with pytest.raises(RuntimeError, match="the parts of alpha"):
                asyncio.run(retention.step())
        else:
            asyncio.run(retention.step())
        assert len(store.checksums("beta")) == left
    database.close()


def test_a_removal_waits_for_a_deployment_that_has_begun(
    registry: RunningRegistry, database_url: str, tmp_path: Path
) -> None:
    three_served(registry, tmp_path)
    engine = open_database(database_url, SCHEMA)
    reports: list[dict[str, Any]] = []
    removal = threading.Thread(target=lambda: reports.append(retain(registry)))
    with Database(engine).transaction("deployment") as connection:
        lock_model(connection, "ranker")
        removal.start()
        # It ends within this time if nothing holds it.
        removal.join(0.5)
        connection.execute(sa.text(f"UPDATE {_table(engine, 'deployments')} SET state = 'replaced' WHERE version = 3"))
        connection.execute(sa.text(f"UPDATE {_table(engine, 'deployments')} SET state = 'active' WHERE version = 1"))
    removal.join()
    engine.dispose()
    assert "1" in numbers(reports[0]["kept"])
    assert registry.stored("1").is_file()


def test_a_version_that_is_removed_while_it_is_checked_is_not_deployed(
    registry: RunningRegistry, database_url: str, tmp_path: Path
) -> None:
    three_served(registry, tmp_path)
    engine = open_database(database_url, SCHEMA)
    answers: list[httpx.Response] = []
    deployment = threading.Thread(target=lambda: answers.append(registry.deploy("1", force=True, reason="test")))
    with Database(engine).transaction("removal") as connection:
        lock_model(connection, "ranker")
        deployment.start()
        # Its checks end within this time; then it waits for the lock.
        deployment.join(1)
        version_queries.mark_removed(connection, "ranker", [1], datetime.now(UTC))
    deployment.join()
    engine.dispose()
    assert (answers[0].status_code, registry.active()) == (409, "3")
    assert "retention removed" in answers[0].json()["detail"]


def _table(engine: sa.Engine, name: str) -> str:
    return name if engine.dialect.name == "sqlite" else f"{SCHEMA}.{name}"


def test_versions_of_the_release_before_are_present_after_the_migration(database_url: str) -> None:
    engine = open_database(database_url, SCHEMA)
    migrations = Path(str(model_registry.__file__)).parent / "migrations"
    migrate(engine, SCHEMA, migrations)
    values = "(1, 'ranker', 1, 'a', 1, '{}', '2026-01-01 00:00:00')"
    with engine.begin() as connection:
        table = _table(engine, "versions")
        connection.execute(sa.text(f"ALTER TABLE {table} DROP COLUMN removed_at"))
        connection.execute(sa.text(f"DROP TABLE {_table(engine, 'audit_log')}"))
        connection.execute(sa.text(f"UPDATE {_table(engine, 'alembic_version')} SET version_num = '0003'"))
        columns = "id, model, version, sha256, size, manifest, created_at"
        connection.execute(sa.text(f"INSERT INTO {table} ({columns}) VALUES {values}"))
    migrate(engine, SCHEMA, migrations)
    with engine.begin() as connection:
        found = connection.execute(sa.text(f"SELECT version, removed_at FROM {table}")).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [(1, None)]


def test_versions_are_removed_while_the_store_is_down_and_their_files_when_it_is_back(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = [tiny_archive(tmp_path / f"{seed}.tar.gz", seed=seed) for seed in (1, 2)]
    checksums = [ArtifactStore(s3_server.address).put(bundle, "ranker") for bundle in bundles]
    engine = open_database(f"sqlite:///{tmp_path}/recsys.db", SCHEMA)
    migrate(engine, SCHEMA, Path(str(model_registry.__file__)).parent / "migrations")
    database = Database(engine)
    with database.transaction("test") as connection:
        for number, sha256 in enumerate(checksums, start=1):
            row = {"version": number, "sha256": sha256, "size": 1, "manifest": {}, "created_at": datetime.now(UTC)}
            connection.execute(sa.insert(versions).values(model="ranker", **row))
    with monkeypatch.context() as outage:
        outage.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        outage.setenv("AWS_MAX_ATTEMPTS", "1")
        S3FileSystem.clear_instance_cache()
        plan, files_left = Retention(database, ArtifactStore(s3_server.address), Limits(1, 1, 0)).apply("ranker")
    assert ([row.version for row in plan.removed], files_left) == ([1], 1)
    S3FileSystem.clear_instance_cache()
    store = ArtifactStore(s3_server.address)
    assert store.checksums("ranker") == set(checksums)
    assert Retention(database, store, Limits(1, 1, 0)).delete_files("ranker") == 0
    assert store.checksums("ranker") == {checksums[1]}
    database.close()


def test_bundles_in_a_bucket_are_listed_and_deleted(s3_server: S3Server, tmp_path: Path) -> None:
    store = ArtifactStore(f"{s3_server.address}/registry")
    assert store.checksums("ranker") == set()
    first, second = (store.put(tiny_archive(tmp_path / f"{seed}.tar.gz", seed=seed), "ranker") for seed in (1, 2))
    assert store.checksums("ranker") == {first, second}
    for _ in range(2):
        store.remove("ranker", first)
        assert store.checksums("ranker") == {second}
