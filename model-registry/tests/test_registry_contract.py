"""The client and the registry, and the fake that stands for it in tests: one contract over both."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from contracts.checksums import sha256_of
from contracts.deployments import DeploymentRequest, ReplicaReport, RollbackRequest
from contracts.registry.calls import ActiveAnswer
from contracts.registry.client import AsyncRegistryClient, RegistryClient
from contracts.registry.errors import RegistryAnswerError, RegistryRejectedError, RegistryUnreachableError
from model_registry.app import create_app
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from ranking.evaluation import write_part
from ranking.testing import Size, tiny_archive, tiny_part
from refresh_bundles import archive as refresh_archive
from refresh_bundles import ranker_of
from testkit.fake_registry import FakeRegistry
from testkit.odd_answers import OddServer
from testkit.serving import Served

TOKEN = "the-registry-token"
REPORT = ReplicaReport(
    version="1", deployment_id="7", state="failed", error="version 2: load", since=datetime(2026, 1, 1, tzinfo=UTC)
)


@pytest.fixture(params=["fake", "real"])
def url(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Iterator[str]:
    if request.param == "fake":
        with FakeRegistry(token=TOKEN) as fake:
            fake.max_wait = 30
            yield fake.url
        return
    settings = Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
    )
    with Served(create_app(settings, sandbox)) as real:
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


def poll(url: str, etag: str | None, wait: int | None = None) -> ActiveAnswer | None:
    async def ask() -> ActiveAnswer | None:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            return await AsyncRegistryClient(http.request, "ranker").active(etag, wait=wait)

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


def test_an_evaluation_part_follows_its_bundle_and_is_returned_unchanged_for_a_token(
    url: str, registry: RegistryClient, tmp_path: Path
) -> None:
    bundle, part = tmp_path / "bundle.tar.gz", tmp_path / "evaluation.zip"
    tiny_archive(bundle, version="seed-0-abc")
    write_part(tiny_part(size=Size(datasets=40, trees=2)), part)
    pushed = registry.push(bundle, part)
    assert pushed.takes_evaluation
    summary = registry.version(pushed.version).evaluation
    assert summary is not None
    assert summary.sha256 == sha256_of(part)
    # Again, as after a lost answer.
    assert registry.push(bundle, part).version == pushed.version
    registry.download_evaluation(pushed.version, tmp_path / "copy.zip")
    assert sha256_of(tmp_path / "copy.zip") == summary.sha256
    assert httpx.get(f"{url}/models/ranker/versions/{pushed.version}/evaluation", timeout=30).status_code == 401


def test_a_registry_of_the_release_before_gets_no_evaluation_part(archives: list[Path]) -> None:
    with FakeRegistry() as fake, httpx.Client(base_url=fake.url, timeout=30) as http:
        fake.takes_evaluations = False
        client = RegistryClient(http.request, "ranker")
        assert not client.push(archives[0], archives[1]).takes_evaluation
        assert fake.evaluations == {}


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
    authorized = {"Authorization": f"Bearer {TOKEN}"}
    bundle = httpx.get(url + changed.deployments.primary.bundle_url, headers=authorized, timeout=30)
    assert bundle.content == archives[0].read_bytes()


def test_a_request_that_may_wait_is_answered_when_something_changes_or_the_wait_is_over(
    url: str, registry: RegistryClient, archives: list[Path]
) -> None:
    for archive in archives:
        registry.push(archive)
    first = registry.deploy(DeploymentRequest(version="1"))
    before = poll(url, None, wait=30)
    assert before is not None
    assert before.deployments is not None
    assert before.deployments.primary.deployment_id == first.deployment_id
    assert poll(url, before.etag, wait=1) is None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(poll, url, before.etag, 30)
        second = registry.deploy(DeploymentRequest(version="2", force=True, reason="test"))
        changed = waiting.result()
    assert changed is not None
    assert changed.deployments is not None
    assert changed.deployments.primary.deployment_id == second.deployment_id


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
    registry.deploy(DeploymentRequest(version="2", force=True, reason="test"))
    back = registry.roll_back(RollbackRequest(reason="worse"))
    assert (back.version, back.previous_version, back.state) == ("1", "2", "active")
    registry.deploy(DeploymentRequest(version="2", mode="shadow", force=True, reason="test"))
    ended = registry.roll_back(RollbackRequest(mode="shadow"))
    assert (ended.version, ended.mode, ended.state) == ("2", "shadow", "rolled_back")
    with pytest.raises(RegistryRejectedError, match="no shadow of 'ranker' is in service"):
        registry.roll_back(RollbackRequest(mode="shadow"))


@pytest.mark.parametrize(
    ("wanted", "status"),
    [(DeploymentRequest(version="9"), 404), (DeploymentRequest(version="1", mode="canary", rollout=0.1), 409)],
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
    assert (
        registry.deploy(DeploymentRequest(version="2", force=True, reason="test", expected_active="1")).state
        == "active"
    )
    # A repeat after a lost answer is the same step.
    again = registry.deploy(DeploymentRequest(version="2", force=True, reason="test", expected_active="1"))
    assert (again.version, len(registry.history().deployments)) == ("2", 2)
    registry.deploy(DeploymentRequest(version="1", mode="shadow", force=True, reason="test", expected_active="2"))
    for mode in ("primary", "shadow"):
        with pytest.raises(RegistryRejectedError, match="expected_active is 1, in service is 2"):
            registry.roll_back(RollbackRequest(mode=mode, expected_active="1"))
    assert registry.roll_back(RollbackRequest(expected_active="2")).version == "1"


def test_a_refresh_is_deployed_only_while_its_model_is_in_service(
    registry: RegistryClient, archives: list[Path], tmp_path: Path
) -> None:
    for archive in archives:
        registry.push(archive)
    with pytest.raises(RegistryRejectedError, match=r"ranker\.txt is another one") as rejected:
        registry.push(refresh_archive(tmp_path, "1", seed=4))
    assert rejected.value.status == 422
    refresh = refresh_archive(tmp_path, "1", seed=3, ranker_text=ranker_of(archives[0]))
    assert registry.push(refresh).refreshes == "1"
    registry.deploy(DeploymentRequest(version="2"))
    with pytest.raises(RegistryRejectedError, match="this bundle refreshes version 1") as rejected:
        registry.deploy(DeploymentRequest(version="3"))
    assert rejected.value.status == 409
    registry.deploy(DeploymentRequest(version="1", force=True, reason="test"))
    assert registry.deploy(DeploymentRequest(version="3", expected_active="1")).version == "3"
    assert [each.refreshes for each in registry.versions().versions] == ["1", None, None]


def test_what_a_replica_reports_stands_in_the_history(url: str, registry: RegistryClient) -> None:
    report(url, TOKEN)
    (replica,) = registry.history().replicas
    assert replica.replica_id == "replica-1"
    assert replica.model_dump(exclude={"replica_id", "reported_at"}) == REPORT.model_dump(exclude={"traffic"})


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
