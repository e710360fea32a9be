"""Finds endpoints whose every answer fails although a model is loaded."""

from collections.abc import Callable
from dataclasses import dataclass

# A broken dataset that several callers request is not an outage. This many failures without a success between them are.
FAILURES_IN_A_ROW = 10


@dataclass(slots=True)
class _Streak:
    reason: str
    count: int
    answered_before: int


class EndpointFailures:
    """Counts consecutive failures; `answered` returns how often an endpoint has succeeded since the start.

    Successes cost nothing here: their counter is compared when a request fails.
    """

    def __init__(self, answered: Callable[[str], int]) -> None:
        self._answered = answered
        self._streaks: dict[str, _Streak] = {}

    def count_failure(self, endpoint: str, reason: str) -> bool:
        """Count a 5xx answer; return whether the endpoint now fails every request."""
        answered = self._answered(endpoint)
        streak = self._streaks.get(endpoint)
        if streak is None or streak.answered_before != answered:
            streak = self._streaks[endpoint] = _Streak(reason, 0, answered)
        streak.count += 1
        streak.reason = reason
        return streak.count >= FAILURES_IN_A_ROW

    def failing(self) -> dict[str, str]:
        """Return the endpoints that fail every request, and the reason."""
        for endpoint, streak in list(self._streaks.items()):
            if streak.answered_before != self._answered(endpoint):
                del self._streaks[endpoint]
        return {
            endpoint: streak.reason for endpoint, streak in self._streaks.items() if streak.count >= FAILURES_IN_A_ROW
        }
