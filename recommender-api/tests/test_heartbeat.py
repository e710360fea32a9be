"""A replica reports the version that it serves to the registry: when it changes, and at a fixed interval."""

import weakref
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr

from recommender_api.models.heartbeat import HEARTBEAT_SECONDS, ReplicaHeartbeat
from recommender_api.models.registry import ReplicaRegistry
from recommender_api.models.serving import LoadedModel, Models, Serving

pytestmark = pytest.mark.anyio

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


class Case:
    """A heartbeat on a clock that the test moves; the registry accepts `reports` unless it `is_down`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reports: list[str] = []
        self.is_down = False
        self.models = Models()
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._take))
        registry = ReplicaRegistry(client, "http://registry", SecretStr("token"), "ranker")
        self.heartbeat = ReplicaHeartbeat(self.models, registry, "r", lambda: self.now)

    def _take(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            return httpx.Response(503)
        self.reports.append(request.url.path)
        return httpx.Response(204)

    async def beats_at(self, *moments: float) -> list[bool]:
        """Beat at these times; return which of them reported."""
        outcomes = []
        for self.now in moments:
            before = len(self.reports)
            await self.heartbeat.beat()
            outcomes.append(len(self.reports) > before)
        return outcomes


async def test_nothing_is_reported_before_a_model_is_in_service() -> None:
    assert await Case().beats_at(0.0, HEARTBEAT_SECONDS) == [False, False]


async def test_the_version_in_service_is_reported_at_an_interval_and_a_change_at_once(model: LoadedModel) -> None:
    case = Case()
    case.models.serving = Serving("ranker", model, None, SINCE)
    assert await case.beats_at(0.0, 1.0, HEARTBEAT_SECONDS, HEARTBEAT_SECONDS + 1.0) == [True, False, True, False]
    case.models.serving = Serving("ranker", model, model, SINCE + timedelta(seconds=31))
    assert await case.beats_at(HEARTBEAT_SECONDS + 2.0) == [True]
    assert set(case.reports) == {"/models/ranker/replicas/r"}


async def test_a_report_that_the_registry_rejects_is_repeated_at_the_next_beat(model: LoadedModel) -> None:
    case = Case()
    case.models.serving = Serving("ranker", model, None, SINCE)
    case.is_down = True
    assert await case.beats_at(0.0, 1.0) == [False, False]
    case.is_down = False
    assert await case.beats_at(2.0, 3.0) == [True, False]


async def test_a_model_that_is_replaced_does_not_stay_in_memory_until_the_next_beat(model: LoadedModel) -> None:
    case = Case()
    case.models.serving = Serving("ranker", model, None, SINCE)
    await case.heartbeat.beat()
    replaced = weakref.ref(case.models.serving)
    case.models.serving = None
    assert replaced() is None
