"""The follower of a slot: it activates new deployments, retries failed ones with growing waits, and reports both."""

from contextlib import AbstractContextManager, nullcontext

import httpx
import pytest
from pydantic import SecretStr

import monitoring.testing
from contracts.deployments import ActiveDeployment, ActiveDeployments, DeploymentStage
from recommender_api.models.activation import ActivationError
from recommender_api.models.backoff import RETRY_SECONDS, Backoff
from recommender_api.models.deployment_reports import DeploymentReports
from recommender_api.models.follower import DeploymentFollower
from recommender_api.models.registry import ReplicaRegistry
from testkit.fake_registry import SINCE

pytestmark = pytest.mark.anyio


def active(version: str) -> ActiveDeployments:
    return ActiveDeployments(
        name="ranker",
        primary=ActiveDeployment(deployment_id=version, version=version, bundle_url="b", sha256="0" * 64, since=SINCE),
    )


class PrimarySlot:
    """A slot whose activations fail at `broken`, if anywhere."""

    def __init__(self) -> None:
        self.deployment: ActiveDeployment | None = None
        self.broken: DeploymentStage | None = None
        self.attempts = 0

    def target(self, active: ActiveDeployments) -> object:
        return active.primary

    def is_current(self, active: ActiveDeployments) -> bool:
        return self.deployment == active.primary

    def transaction(self, active: ActiveDeployments) -> AbstractContextManager[object]:
        return nullcontext()

    async def put_in_service(self, active: ActiveDeployments) -> None:
        self.attempts += 1
        if self.broken is not None:
            raise ActivationError(active.primary, self.broken, "broken")
        self.deployment = active.primary


class Case:
    """A follower of a slot, on a clock that stands still."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slot = PrimarySlot()
        self.is_incident_open = False
        self.activated: list[str] = []
        registry = ReplicaRegistry(httpx.AsyncClient(), "http://registry", SecretStr("token"), "ranker")
        self.follower = DeploymentFollower(
            self.slot,
            DeploymentReports(registry, model_name="ranker", replica_id="r"),
            clock=lambda: self.now,
            on_activated=self._note,
            is_incident_open=lambda: self.is_incident_open,
        )

    async def _note(self, active: ActiveDeployments) -> None:
        self.activated.append(active.primary.version)


def test_each_wait_is_longer_than_the_one_before_and_the_last_one_repeats() -> None:
    now = 0.0
    backoff = Backoff(lambda: now)
    for seconds in (*RETRY_SECONDS, RETRY_SECONDS[-1]):
        backoff.count_failure("2")
        now += seconds - 0.1
        assert backoff.is_waiting("2")
        now += 0.1
        assert not backoff.is_waiting("2")


def test_another_target_is_tried_at_once_and_its_waits_start_again() -> None:
    now = 0.0
    backoff = Backoff(lambda: now)
    for _ in range(3):
        backoff.count_failure("2")
    assert not backoff.is_waiting("3")
    backoff.count_failure("3")
    assert backoff.failures == 1
    now = RETRY_SECONDS[0]
    assert not backoff.is_waiting("3")


async def test_a_current_deployment_is_not_activated_again() -> None:
    case = Case()
    for _ in range(2):
        await case.follower.reconcile(active("1"), retry_now=False)
    assert case.slot.attempts == 1
    assert case.activated == ["1"]


async def test_a_retry_waits_for_its_time_unless_it_is_asked_for() -> None:
    case = Case()
    case.slot.broken = DeploymentStage.LOAD
    for _ in range(2):
        await case.follower.reconcile(active("2"), retry_now=False)
    assert case.slot.attempts == 1
    assert not case.follower.has_retried
    await case.follower.reconcile(active("2"), retry_now=True)
    assert case.slot.attempts == 2
    assert case.follower.has_retried
    assert case.activated == []


async def test_a_failure_is_reported_again_only_at_another_stage_or_of_another_deployment() -> None:
    case = Case()
    with monitoring.testing.captured() as reports:
        for version, stage in (("2", "load"), ("2", "load"), ("2", "validate"), ("3", "validate"), ("3", "validate")):
            case.slot.broken = DeploymentStage(stage)
            await case.follower.reconcile(active(version), retry_now=True)
    assert [(report.tags["model_version"], report.tags["stage"]) for report in reports] == [
        ("2", "load"),
        ("2", "validate"),
        ("3", "validate"),
    ]


async def test_a_recovery_is_reported_once_and_not_while_another_slot_keeps_the_incident_open() -> None:
    for is_incident_open, points in ((False, ["model.deployment_failed", "model.source_not_found"]), (True, [])):
        case = Case()
        case.is_incident_open = is_incident_open
        case.slot.broken = DeploymentStage.LOAD
        with monitoring.testing.captured() as reports:
            await case.follower.reconcile(active("2"), retry_now=True)
            case.slot.broken = None
            for _ in range(2):
                await case.follower.reconcile(active("2"), retry_now=True)
        assert [report.point_id for report in reports.recovered] == points
        assert case.follower.error is None
