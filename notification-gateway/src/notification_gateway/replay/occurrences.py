"""Occurrences per minute, in memory, for rate conditions."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from contracts.signals import AlertSignal
from notification_gateway.policy.matching import Subject, matches
from notification_gateway.policy.model import Condition, Rate

Minutes = dict[datetime, int]


class RecentOccurrences:
    """Counts in memory as `signals.occurrences` does in the database; `now` is the arrival of the latest signal."""

    def __init__(self, window: timedelta) -> None:
        self._window = window
        self._now = datetime.min.replace(tzinfo=UTC)
        self._counts: dict[str, dict[Subject, Minutes]] = defaultdict(lambda: defaultdict(dict))

    def count_signal(self, signal: AlertSignal, now: datetime) -> None:
        """Count a fired signal at the minute in which it was last seen."""
        self._now = now
        minute = min(signal.last_seen, now).replace(second=0, microsecond=0)
        minutes = self._counts[signal.environment][Subject.of(signal)]
        minutes[minute] = minutes.get(minute, 0) + signal.occurrences
        for old in [each for each in minutes if each <= now - self._window]:
            del minutes[old]

    def count_matching(self, environment: str, condition: Condition, rate: Rate) -> int:
        """Return the occurrences in the window that match the condition; the window is precise to a minute."""
        since = self._now - rate.window
        return sum(
            occurrences
            for subject, minutes in self._counts[environment].items()
            if matches(condition, subject)
            for minute, occurrences in minutes.items()
            if minute > since
        )
