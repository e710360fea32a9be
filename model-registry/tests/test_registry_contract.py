"""The client and the registry, and the fake that stands for it in tests: one contract over both."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from contracts.bundle import pack, read_manifest, write_manifest
from contracts.deployments import DeploymentRequest, ReplicaReport, RollbackRequest
from contracts.registry.calls import ActiveAnswer
from contracts.registry.client import AsyncRegistryClient, RegistryClient
from contracts.registry.errors import RegistryAnswerError, RegistryRejectedError, RegistryUnreachableError
from model_registry.app import create_app
from model_registry.settings import Settings
from ranking.testing import tiny_archive, tiny_bundle
from testkit.fake_registry import FakeRegistry
from testkit.odd_answers import OddServer
from testkit.serving import Served

TOKEN = "the-registry-token"
REPORT = ReplicaReport(version="1", state="serving", since=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(params=["fake", "real"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "fake":
        with FakeRegistry(token=TOKEN) as fake:
            yield fake.url
        return
    settings = Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
    )
    with Served(create_app(settings)) as real:
        yield real.url


@pytest.fixture
def registry(url: str) -> Iterator[RegistryClient]:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as http:
        yield RegistryClient(http.request, "ranker")


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bundles that differ."""
    folder = tmp_path_factory.mktemp("archives")
    return [tiny_archive(folder / f"{seed}.tar.gz", seed=seed) for seed in (1, 2)]


def poll(url: str, etag: str | None) -> ActiveAnswer | None:
    async def ask() -> ActiveAnswer | None:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            return await AsyncRegistryClient(http.request, "ranker").active(etag)

    return asyncio.run(ask())


def report(url: str, token: str) -> None:
    async def put() -> None:
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
            await AsyncRegistryClient(http.request, "ranker").report_replica("replica-1", REPORT)

    asyncio.run(put())


def test_before_the_first_push_and_deployment_there_is_nothing(url: str, registry: RegistryClient) -> None:
    with pytest.raises(RegistryRejectedError) as rejected:
        registry.versions()
    assert rejected.value.status == 404
    history = registry.history()
    assert (registry.active(), poll(url, None)) == (None, ActiveAnswer(None, None))
    assert (history.deployments, history.replicas) == ([], [])


def test_a_push_gives_the_next_version_and_the_same_bytes_keep_theirs(
    registry: RegistryClient, archives: list[Path]
) -> None:
    pushed = [registry.push(archive) for archive in (*archives, archives[0])]
    assert [each.version for each in pushed] == ["1", "2", "1"]
    listed = registry.versions()
    assert [each.version for each in listed.versions] == ["2", "1"]
    detail = registry.version("1")
    assert (detail.sha256, detail.size) == (pushed[0].sha256, archives[0].stat().st_size)
    assert detail.manifest["metrics"]
    with pytest.raises(RegistryRejectedError) as rejected:
        registry.version("9")
    assert rejected.value.status == 404


def test_what_is_deployed_is_active_and_asked_for_again_only_after_a_change(
    url: str, registry: RegistryClient, archives: list[Path]
) -> None:
    pushed = [registry.push(archive) for archive in archives]
    first = registry.deploy(DeploymentRequest(version="1", reason="nightly"))
    assert (first.version, first.mode, first.state, first.previous_version) == ("1", "primary", "active", None)
    answer = poll(url, None)
    assert answer is not None
    assert answer.deployments is not None
    assert (answer.deployments.primary.deployment_id, answer.deployments.primary.sha256) == (
        first.deployment_id,
        pushed[0].sha256,
    )
    assert poll(url, answer.etag) is None
    registry.deploy(DeploymentRequest(version="2", mode="canary", rollout=0.25))
    changed = poll(url, answer.etag)
    assert changed is not None
    assert changed.deployments == registry.active()
    assert changed.deployments is not None
    assert changed.deployments.canary is not None
    assert (changed.deployments.canary.version, changed.deployments.canary.rollout) == ("2", 0.25)
    bundle = httpx.get(url + changed.deployments.primary.bundle_url, timeout=30)
    assert bundle.content == archives[0].read_bytes()


def test_a_new_primary_ends_the_others_and_the_history_keeps_them(
    registry: RegistryClient, archives: list[Path]
) -> None:
    for archive in archives:
        registry.push(archive)
    registry.deploy(DeploymentRequest(version="1"))
    registry.deploy(DeploymentRequest(version="2", mode="shadow"))
    second = registry.deploy(DeploymentRequest(version="2", force=True, reason="better"))
    assert second.previous_version == "1"
    active = registry.active()
    assert active is not None
    assert (active.primary.version, active.canary, active.shadow) == ("2", None, None)
    history = registry.history().deployments
    assert [(each.version, each.mode, each.state) for each in history] == [
        ("2", "primary", "active"),
        ("2", "shadow", "replaced"),
        ("1", "primary", "replaced"),
    ]
    assert (history[0].reason, history[0].failed_stage) == ("better", None)


def test_a_rollback_puts_the_version_before_back_or_ends_a_shadow(
    registry: RegistryClient, archives: list[Path]
) -> None:
    for archive in archives:
        registry.push(archive)
    registry.deploy(DeploymentRequest(version="1"))
    with pytest.raises(RegistryRejectedError, match="is the only version that was ever in service"):
        registry.roll_back(RollbackRequest())
    registry.deploy(DeploymentRequest(version="2", force=True))
    back = registry.roll_back(RollbackRequest(reason="worse"))
    assert (back.version, back.previous_version, back.state) == ("1", "2", "active")
    registry.deploy(DeploymentRequest(version="2", mode="shadow", force=True))
    ended = registry.roll_back(RollbackRequest(mode="shadow"))
    assert (ended.version, ended.mode, ended.state) == ("2", "shadow", "rolled_back")
    with pytest.raises(RegistryRejectedError, match="no shadow of 'ranker' is in service"):
        registry.roll_back(RollbackRequest(mode="shadow"))


@pytest.mark.parametrize(
    ("wanted", "status"),
    [(DeploymentRequest(version="9"), 404), (DeploymentRequest(version="1", mode="canary"), 409)],
)
def test_a_rejected_deployment_says_why_and_changes_nothing(
    registry: RegistryClient, archives: list[Path], wanted: DeploymentRequest, status: int
) -> None:
    registry.push(archives[0])
    with pytest.raises(RegistryRejectedError) as rejected:
        registry.deploy(wanted)
    assert rejected.value.status == status
    assert rejected.value.detail
    assert registry.active() is None


def test_nothing_changes_while_another_version_than_the_expected_one_is_in_service(
    registry: RegistryClient, archives: list[Path]
) -> None:
    for archive in archives:
        registry.push(archive)
    with pytest.raises(RegistryRejectedError, match="expected_active is 1") as rejected:
        registry.deploy(DeploymentRequest(version="1", expected_active="1"))
    assert (rejected.value.status, registry.active()) == (409, None)
    registry.deploy(DeploymentRequest(version="1"))
    assert registry.deploy(DeploymentRequest(version="2", force=True, expected_active="1")).state == "active"
    registry.deploy(DeploymentRequest(version="1", mode="shadow", force=True, expected_active="2"))
    for mode in ("primary", "shadow"):
        with pytest.raises(RegistryRejectedError, match="expected_active is 1, in service is 2"):
            registry.roll_back(RollbackRequest(mode=mode, expected_active="1"))
    assert registry.roll_back(RollbackRequest(expected_active="2")).version == "1"


def test_a_refresh_is_deployed_only_while_its_model_is_in_service(
    registry: RegistryClient, archives: list[Path], tmp_path: Path
) -> None:
    for archive in archives:
        registry.push(archive)
    contents = tiny_bundle(tmp_path / "refresh", seed=3)
    write_manifest(contents, read_manifest(contents).model_copy(update={"refreshes": "1"}))
    pack(contents, tmp_path / "refresh.tar.gz")
    assert registry.push(tmp_path / "refresh.tar.gz").refreshes == "1"
    registry.deploy(DeploymentRequest(version="2"))
    with pytest.raises(RegistryRejectedError, match="this bundle refreshes version 1") as rejected:
        registry.deploy(DeploymentRequest(version="3"))
    assert rejected.value.status == 409
    registry.deploy(DeploymentRequest(version="1", force=True))
    assert registry.deploy(DeploymentRequest(version="3", expected_active="1")).version == "3"
    assert [each.refreshes for each in registry.versions().versions] == ["1", None, None]


def test_what_a_replica_reports_stands_in_the_history(url: str, registry: RegistryClient) -> None:
    report(url, TOKEN)
    (replica,) = registry.history().replicas
    assert (replica.replica_id, replica.version, replica.state, replica.since) == (
        "replica-1",
        REPORT.version,
        REPORT.state,
        REPORT.since,
    )


def test_without_its_token_nothing_is_changed(url: str, archives: list[Path]) -> None:
    with httpx.Client(base_url=url, timeout=30) as http, pytest.raises(RegistryRejectedError) as rejected:
        RegistryClient(http.request, "ranker").push(archives[0])
    assert rejected.value.status == 401
    with pytest.raises(RegistryRejectedError) as rejected:
        report(url, "another")
    assert rejected.value.status == 401


def test_no_answer_and_an_answer_of_another_program_are_different_errors() -> None:
    with OddServer() as odd, httpx.Client(base_url=odd.url, timeout=30) as http:
        odd.will_answer(b"<html>Please log in</html>", "text/html")
        with pytest.raises(RegistryAnswerError, match="text/html: not JSON") as caught:
            RegistryClient(http.request, "ranker").history()
        assert caught.value.body == "<html>Please log in</html>"
        odd.missing = 10
        with pytest.raises(RegistryUnreachableError, match=odd.url):
            RegistryClient(http.request, "ranker").history()
