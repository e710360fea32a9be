"""What a summary says, as numbers: title, lines, rows and chart are all made of the same counts."""

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
    """What one incident did in a summary's period: occurrences by the minute, and those that a silence covered.

    One that is `is_reminder` is named even if it has not occurred.
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
    """What is counted in a period from `since`, its start or the end of the part sent before, to `end`."""

    alert: Alert
    channel: Channel
    period_start: datetime
    since: datetime
    end: datetime
    entries: Sequence[SummaryEntry]

    @cached_property
    def told(self) -> list[SummaryEntry]:
        """Return the entries of which people are told."""
        return [entry for entry in self.entries if entry.occurrences or entry.is_reminder]

    @property
    def occurrences(self) -> int:
        """Return how often something occurred, without what was silenced."""
        return sum(entry.occurrences for entry in self.told)

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
        """Return how many of the occurrences were seen before the period: they came late, or a rate counts them."""
        return sum(
            count for entry in self.told for minute, count in entry.by_minute.items() if minute < self.period_start
        )

    @cached_property
    def faults(self) -> list[Fault]:
        """Return the faults, the most urgent and then the most frequent ones first.

        One that came and went many times is one fault, so that it doesn't crowd out the others.
        """
        by_key: dict[str, list[SummaryEntry]] = {}
        for entry in self.told:
            by_key.setdefault(entry.incident.key, []).append(entry)
        faults = [Fault(entries) for entries in by_key.values()]
        return sorted(faults, key=lambda fault: (fault.priority, -fault.occurrences, fault.newest.id))

    @property
    def by_time(self) -> list[int]:
        """Return the occurrences of equal parts of the time; what was seen before it is in the first part."""
        counts = [0] * PARTS
        length = max(self.end - self.since, timedelta(seconds=1))
        for entry in self.told:
            for minute, count in entry.by_minute.items():
                part = int((minute - self.since) / length * PARTS)
                counts[min(max(part, 0), PARTS - 1)] += count
        return counts
