"""Reports to the registry which version this replica serves."""

import logging
from collections.abc import Callable
from datetime import datetime

from contracts.deployments import ReplicaReport
from contracts.registry.client import AsyncRegistryClient
from contracts.registry.errors import RegistryError
from recommender_api.models.serving import Models

_log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 30.0


class ReplicaHeartbeat:
    """Reports the version in service when it changes, and every `HEARTBEAT_SECONDS` of `clock`."""

    def __init__(
        self, models: Models, registry: AsyncRegistryClient, replica_id: str, clock: Callable[[], float]
    ) -> None:
        self._models = models
        self._registry = registry
        self._replica_id = replica_id
        self._clock = clock
        # Version and time only: a reference to the model would keep a replaced one in memory.
        self._reported: tuple[str, datetime] | None = None
        self._reported_at = float("-inf")

    async def beat(self) -> None:
        """Report if it is time; a report that the registry doesn't accept is repeated at the next beat."""
        serving = self._models.serving
        if serving is None:
            return
        state = serving.primary.deployment.version, serving.since
        if state == self._reported and self._clock() - self._reported_at < HEARTBEAT_SECONDS:
            return
        version, since = state
        try:
            report = ReplicaReport(version=version, state="serving", since=since)
            await self._registry.report_replica(self._replica_id, report)
        except RegistryError as error:
            _log.debug("replica state not reported: %s", error)
        else:
            self._reported, self._reported_at = state, self._clock()
