"""Keeps a slot consistent with the active deployments: activates new ones, retries failed ones, reports both."""

import logging
from collections.abc import Awaitable, Callable

from contracts.deployments import ActiveDeployments
from recommender_api.models.activation import ActivationError
from recommender_api.models.backoff import Backoff
from recommender_api.models.deployment_reports import DeploymentReports
from recommender_api.models.slots import ModelSlot

_log = logging.getLogger(__name__)


class DeploymentFollower:
    """Follows the active deployments with one slot.

    `error` is the reason why the slot doesn't hold the deployed version, None if it does. `on_activated` is called
    after each change. A recovery ends the incident of the model, so none is reported while another slot
    `is_incident_open`.
    """

    def __init__(
        self,
        slot: ModelSlot,
        reports: DeploymentReports,
        *,
        clock: Callable[[], float],
        on_activated: Callable[[ActiveDeployments], Awaitable[None]],
        is_incident_open: Callable[[], bool] = lambda: False,
    ) -> None:
        self.error: ActivationError | None = None
        self._slot = slot
        self._reports = reports
        self._on_activated = on_activated
        self._is_incident_open = is_incident_open
        self._backoff = Backoff(clock)

    @property
    def has_retried(self) -> bool:
        """Whether the deployed version has failed more than once."""
        return self._backoff.failures > 1

    async def reconcile(self, active: ActiveDeployments, *, retry_now: bool) -> None:
        """Activate the deployed version if the slot doesn't hold it; `retry_now` ignores the backoff."""
        if self._slot.is_current(active):
            self._mark_current()
        elif retry_now or not self._backoff.is_waiting(self._slot.target(active)):
            with self._slot.transaction(active):
                await self.activate(active)

    async def activate(self, active: ActiveDeployments) -> None:
        """Put the deployed version into the slot; if that fails, set `error`."""
        try:
            await self._slot.put_in_service(active)
        except ActivationError as error:
            self._mark_failed(self._slot.target(active), error)
            return
        self._mark_current()
        await self._on_activated(active)

    def _mark_failed(self, target: object, error: ActivationError) -> None:
        """Delay the next attempt and report the first failure of its kind."""
        _log.warning("cannot activate %s; the previous model keeps serving", error)
        before, self.error = self.error, error
        self._backoff.count_failure(target)
        if before is None or not self.has_retried or before.stage != error.stage:
            self._reports.report_failure(error)

    def _mark_current(self) -> None:
        if self.error is None:
            return
        self.error = None
        self._backoff.reset()
        if not self._is_incident_open():
            self._reports.report_recovery(self._slot.deployment)
