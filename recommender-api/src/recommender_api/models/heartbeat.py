"""Reports to the registry which deployments this replica serves, and why it doesn't serve the others."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from contracts.deployments import ActiveDeployment, DeploymentMode, ReplicaReport, ReplicaTraffic
from contracts.registry.client import AsyncRegistryClient
from contracts.registry.errors import RegistryError

_log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 30.0


@dataclass(frozen=True)
class ReplicaState:
    """What this replica serves in a mode: the deployment, None for none, and how it stands to what is deployed.

    It has no reference to the model, which would keep a replaced one in memory.
    """

    mode: DeploymentMode
    deployment: ActiveDeployment | None
    state: Literal["serving", "loading", "failed"]
    error: str | None = None

    @classmethod
    def of(
        cls,
        mode: DeploymentMode,
        held: ActiveDeployment | None,
        deployed: ActiveDeployment | None,
        error: Exception | None,
    ) -> "ReplicaState":
        """Return the state of a mode; `error` is why a slot doesn't hold what is `deployed`."""
        if held == deployed:
            return cls(mode, held, "serving")
        return cls(mode, held, "loading") if error is None else cls(mode, held, "failed", str(error))


@dataclass(frozen=True)
class _Reported:
    state: ReplicaState
    since: datetime
    at: float


class ReplicaHeartbeat:
    """Reports the state of each mode when it changes, and every `HEARTBEAT_SECONDS` of `clock`.

    `traffic` returns what a version has answered lately; a shadow answers nobody.
    """

    def __init__(
        self,
        registry: AsyncRegistryClient,
        replica_id: str,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        *,
        traffic: Callable[[str], ReplicaTraffic | None] = lambda _: None,
    ) -> None:
        self._registry = registry
        self._replica_id = replica_id
        self._clock = clock
        self._now = now
        self._traffic = traffic
        self._reported: dict[DeploymentMode, _Reported] = {}
        # Whether the registry has accepted what was reported last.
        self.is_delivered = True

    async def beat(self, states: Sequence[ReplicaState]) -> None:
        """Report what is due; a report that the registry doesn't accept is repeated at the next beat."""
        self.is_delivered = True
        in_use = {state.mode for state in states}
        self._reported = {mode: last for mode, last in self._reported.items() if mode in in_use}
        for state in states:
            await self._report(state)

    async def _report(self, state: ReplicaState) -> None:
        last = self._reported.get(state.mode)
        is_same = last is not None and last.state == state
        if last is not None and is_same and self._clock() - last.at < HEARTBEAT_SECONDS:
            return
        since = last.since if last is not None and is_same else self._now()
        try:
            await self._registry.report_replica(self._replica_id, self._report_of(state, since))
        except RegistryError as error:
            self.is_delivered = False
            _log.debug("replica state not reported: %s", error)
        else:
            self._reported[state.mode] = _Reported(state, since, self._clock())

    def _report_of(self, state: ReplicaState, since: datetime) -> ReplicaReport:
        held = state.deployment
        return ReplicaReport(
            mode=state.mode,
            deployment_id=None if held is None else held.deployment_id,
            version=None if held is None else held.version,
            state=state.state,
            error=state.error,
            since=since,
            traffic=None if held is None or state.mode == "shadow" else self._traffic(held.version),
        )
