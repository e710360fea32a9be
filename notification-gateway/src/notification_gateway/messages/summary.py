"""The counts of a summary; its title, lines, rows and chart are all made from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from notification_gateway.incidents.model import Incident
from notification_gateway.policy.model import Alert, Channel

# An hour in steps of two and a half minutes, a day in steps of an hour.
PARTS = 24


@dataclass(frozen=True)
class SummaryEntry:
    """The counts of one incident in a period: occurrences by the minute, and silenced ones.

    With `is_reminder` the summary names the incident even if it has not occurred.
    """

    incident: Incident
    by_minute: Mapping[datetime, int]
    silenced: int = 0
    is_reminder: bool = False

    @property
    def occurrences(self) -> int:
        """Return how often it occurred, without what was silenced."""
        return sum(self.by_minute.values())


@dataclass(frozen=True)
class Fault:
    """The incidents of a period with the same environment, service and fingerprint."""

    entries: Sequence[SummaryEntry]

    @property
    def newest(self) -> Incident:
        """Return the newest incident."""
        return max((entry.incident for entry in self.entries), key=lambda incident: incident.id)

    @property
    def priority(self) -> str:
        """Return the most urgent priority."""
        return min(entry.incident.priority for entry in self.entries)

    @property
    def occurrences(self) -> int:
        """Return how often it occurred."""
        return sum(entry.occurrences for entry in self.entries)


@dataclass(frozen=True)
class PeriodCounts:
    """The counts from `since`, the period's start or the end of the part sent before, to `end`."""

    alert: Alert
    channel: Channel
    period_start: datetime
    since: datetime
    end: datetime
    entries: Sequence[SummaryEntry]

    @cached_property
    def unsilenced(self) -> list[SummaryEntry]:
        """Return the entries that the summary shows: those with unsilenced occurrences, and reminders."""
        return [entry for entry in self.entries if entry.occurrences or entry.is_reminder]

    @property
    def occurrences(self) -> int:
        """Return how often something occurred, without what was silenced."""
        return sum(entry.occurrences for entry in self.unsilenced)

    @property
    def silenced(self) -> int:
        """Return how many occurrences a silence covered."""
        return sum(entry.silenced for entry in self.entries)

    @property
    def silenced_incidents(self) -> int:
        """Return how many incidents a silence covered, if only for a time."""
        return sum(entry.silenced > 0 for entry in self.entries)

    @property
    def earlier(self) -> int:
        """Return the occurrences from before the period: late signals, and those that an exceeded rate adds."""
        return sum(
            count
            for entry in self.unsilenced
            for minute, count in entry.by_minute.items()
            if minute < self.period_start
        )

    @cached_property
    def faults(self) -> list[Fault]:
        """Return the faults, the most urgent and then the most frequent ones first.

        A fault with many incidents is one row, so that it doesn't crowd out the others.
        """
        by_key: dict[str, list[SummaryEntry]] = {}
        for entry in self.unsilenced:
            by_key.setdefault(entry.incident.key, []).append(entry)
        faults = [Fault(entries) for entries in by_key.values()]
        return sorted(faults, key=lambda fault: (fault.priority, -fault.occurrences, fault.newest.id))

    @property
    def by_time(self) -> list[int]:
        """Return the occurrences in `PARTS` equal parts of the time; the first part includes earlier ones."""
        counts = [0] * PARTS
        length = max(self.end - self.since, timedelta(seconds=1))
        for entry in self.unsilenced:
            for minute, count in entry.by_minute.items():
                part = int((minute - self.since) / length * PARTS)
                counts[min(max(part, 0), PARTS - 1)] += count
        return counts
