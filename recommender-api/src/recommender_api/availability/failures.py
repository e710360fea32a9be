"""Endpoints whose every answer fails, though there is a model."""

from collections.abc import Callable
from dataclasses import dataclass

# One broken dataset that several callers ask about is no outage; so many failures without one answer between them are.
FAILURES_IN_A_ROW = 10


@dataclass(slots=True)
class _Streak:
    reason: str
    count: int
    answered_before: int


class EndpointFailures:
    """Counts failures in a row; `answered` returns how often an endpoint has answered well since the start.

    An answer that succeeds costs nothing here: its counter is compared when something fails.
    """

    def __init__(self, answered: Callable[[str], int]) -> None:
        self._answered = answered
        self._streaks: dict[str, _Streak] = {}

    def count_failure(self, endpoint: str, reason: str) -> bool:
        """Count an answer 5xx; return whether the endpoint answers nobody any more."""
        answered = self._answered(endpoint)
        streak = self._streaks.get(endpoint)
        if streak is None or streak.answered_before != answered:
            streak = self._streaks[endpoint] = _Streak(reason, 0, answered)
        streak.count += 1
        streak.reason = reason
        return streak.count >= FAILURES_IN_A_ROW

    def failing(self) -> dict[str, str]:
        """Return the endpoints that answer nobody, and why."""
        for endpoint, streak in list(self._streaks.items()):
            if streak.answered_before != self._answered(endpoint):
                del self._streaks[endpoint]
        return {
            endpoint: streak.reason for endpoint, streak in self._streaks.items() if streak.count >= FAILURES_IN_A_ROW
        }
