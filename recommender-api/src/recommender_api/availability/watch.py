"""Reports that no query can be answered, even without traffic, and that answers are back."""

from collections.abc import Callable

import monitoring
from recommender_api.availability.failures import EndpointFailures
from recommender_api.availability.model_state import ModelState, ModelStatus, model_status

POINT = "api.unavailable"
# All replicas share one incident, and the recovery of one replica ends it. A replica that is still out reports again.
REMINDER_SECONDS = 60.0
EVERY_ENDPOINT = "all"


class AvailabilityWatch:
    """`state` returns the model's state; `answered` how often an endpoint has succeeded; `clock` is monotonic (s)."""

    def __init__(
        self, state: Callable[[], ModelState], answered: Callable[[str], int], clock: Callable[[], float]
    ) -> None:
        self._state = state
        self._failures = EndpointFailures(answered)
        self._clock = clock
        self._since = self._waited_until = clock()
        self._reported_at: float | None = None
        # An outage that the previous process reported ends once this process answers.
        self._is_recovery_due = True

    @property
    def status(self) -> ModelStatus | None:
        """Why no model is in service; None while one is."""
        return model_status(self._state())

    def explain(self) -> str:
        """Return why no model is in service, for callers."""
        status = self.status
        return "No model is loaded yet; retry." if status is None else status.detail

    def refuse(self, endpoint: str) -> None:
        """Record that a request to `endpoint` got 503 because no model is loaded."""
        status = self.status
        if status is not None and self._is_past_grace(status):
            self._report(endpoint, status.reason, status.detail)

    def count_failure(self, endpoint: str, reason: str) -> None:
        """Record that a request to `endpoint` got a 5xx for a reason other than overload."""
        if self._failures.count_failure(endpoint, reason):
            self._report(endpoint, reason, f"every answer of {endpoint} fails")

    async def poll(self) -> None:
        """Review the state once a second."""
        self.review()

    def review(self) -> None:
        """Report an outage that no caller has met yet, or its end."""
        status = self.status
        failing = self._failures.failing()
        if status is not None:
            if status.reason == "no_model":
                self._waited_until = self._clock()
            if not status.may_pass and self._is_past_grace(status) and self._is_reminder_due():
                self._report(EVERY_ENDPOINT, status.reason, status.detail)
        elif failing:
            if self._is_reminder_due():
                endpoint, reason = next(iter(failing.items()))
                self._report(endpoint, reason, f"every answer of {endpoint} fails")
        elif self._is_recovery_due:
            self._is_recovery_due = False
            self._reported_at = None
            monitoring.recovered(POINT)

    def _is_past_grace(self, status: ModelStatus) -> bool:
        # Only at the start: once a model is in service, one stays in service. The first model has its time to load from
        # its deployment on, however long that took to come.
        began = self._since if status.reason == "no_model" else self._waited_until
        return self._clock() - began >= status.grace_seconds

    def _is_reminder_due(self) -> bool:
        return self._reported_at is None or self._clock() - self._reported_at >= REMINDER_SECONDS

    def _report(self, endpoint: str, reason: str, detail: str) -> None:
        self._reported_at = self._clock()
        self._is_recovery_due = True
        monitoring.report(POINT, endpoint=endpoint, reason=reason, detail=detail)
