"""A replica reports what it serves in each mode to the registry: when that changes, and at a fixed interval."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from contracts.deployments import ActiveDeployment, ReplicaTraffic
from recommender_api.models.heartbeat import HEARTBEAT_SECONDS, ReplicaHeartbeat, ReplicaState
from recommender_api.models.registry import ReplicaRegistry
from testkit.fake_registry import SINCE

pytestmark = pytest.mark.anyio

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def deployment(version: str) -> ActiveDeployment:
    return ActiveDeployment(deployment_id=f"d{version}", version=version, bundle_url="b", sha256="0" * 64, since=SINCE)


class Case:
    """A heartbeat on a clock that the test moves; the registry accepts `reports` unless it `is_down`."""

    def __init__(self, traffic: ReplicaTraffic | None = None) -> None:
        self.now = 0.0
        self.reports: list[dict[str, Any]] = []
        self.paths: set[str] = set()
        self.is_down = False
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._take))
        registry = ReplicaRegistry(client, "http://registry", SecretStr("token"), "ranker")
        self.heartbeat = ReplicaHeartbeat(
            registry,
            "r",
            lambda: self.now,
            lambda: datetime.fromtimestamp(START + self.now, UTC),
            traffic=lambda _: traffic,
        )

    def _take(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            return httpx.Response(503)
        self.paths.add(request.url.path)
        self.reports.append(json.loads(request.content))
        return httpx.Response(204)

    async def beats_at(self, states: list[ReplicaState], *moments: float) -> list[int]:
        """Beat at these times; return how many reports each made."""
        outcomes = []
        for self.now in moments:
            before = len(self.reports)
            await self.heartbeat.beat(states)
            outcomes.append(len(self.reports) - before)
        return outcomes


async def test_nothing_is_reported_before_a_model_is_in_service() -> None:
    assert await Case().beats_at([], 0.0, HEARTBEAT_SECONDS) == [0, 0]


async def test_a_state_is_reported_at_an_interval_and_a_change_of_it_at_once() -> None:
    case = Case()
    serving = ReplicaState("primary", deployment("1"), "serving")
    moments = (0.0, 1.0, HEARTBEAT_SECONDS, HEARTBEAT_SECONDS + 1.0)
    assert await case.beats_at([serving], *moments) == [1, 0, 1, 0]
    failed = ReplicaState("primary", deployment("1"), "failed", "version 2: load: no model")
    assert await case.beats_at([failed], HEARTBEAT_SECONDS + 2.0) == [1]
    assert [each["since"] for each in case.reports] == [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:32Z",
    ]
    assert case.paths == {"/models/ranker/replicas/r"}
    assert case.reports[-1] == {
        "mode": "primary",
        "deployment_id": "d1",
        "version": "1",
        "state": "failed",
        "error": "version 2: load: no model",
        "since": "2026-01-01T00:00:32Z",
    }


async def test_each_mode_is_reported_by_itself_and_no_longer_once_it_is_gone() -> None:
    case = Case()
    primary = ReplicaState("primary", deployment("1"), "serving")
    canary = ReplicaState("canary", deployment("2"), "serving")
    assert await case.beats_at([primary, canary], 0.0) == [2]
    assert await case.beats_at([primary], 1.0) == [0]
    assert await case.beats_at([primary, canary], 2.0) == [1]


async def test_what_a_version_has_answered_is_reported_with_it_but_for_a_shadow() -> None:
    case = Case(ReplicaTraffic(answers=10, errors=1, fallback_answers=2, p99_ms=4.5))
    modes = [ReplicaState(mode, deployment("1"), "serving") for mode in ("primary", "canary", "shadow")]
    await case.beats_at([*modes[:1], ReplicaState("canary", None, "loading"), *modes[1:]], 0.0)
    sent = {"answers": 10, "errors": 1, "fallback_answers": 2, "p99_ms": 4.5}
    assert [each.get("traffic") for each in case.reports] == [sent, None, sent, None]


async def test_a_report_that_the_registry_rejects_is_repeated_at_the_next_beat() -> None:
    case = Case()
    states = [ReplicaState("primary", deployment("1"), "serving")]
    case.is_down = True
    assert await case.beats_at(states, 0.0, 1.0) == [0, 0]
    assert not case.heartbeat.is_delivered
    case.is_down = False
    assert await case.beats_at(states, 2.0, 3.0) == [1, 0]
    assert case.heartbeat.is_delivered


def test_a_mode_that_does_not_hold_what_is_deployed_is_loading_or_has_failed() -> None:
    held, wanted = deployment("1"), deployment("2")
    assert ReplicaState.of("primary", held, held, None).state == "serving"
    assert ReplicaState.of("primary", held, wanted, None).state == "loading"
    failed = ReplicaState.of("primary", held, wanted, ValueError("broken"))
    assert (failed.deployment, failed.state, failed.error) == (held, "failed", "broken")
    # The error may be about another mode of the same slot.
    assert ReplicaState.of("primary", held, held, ValueError("canary")).error is None
