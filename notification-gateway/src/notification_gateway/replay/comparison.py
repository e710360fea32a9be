"""Compares two policies: how often each fault is notified, by which rule and channel."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from notification_gateway.replay.simulation import Fault, ReplayedNotification

MAX_SHOWN = 200


class Way(NamedTuple):
    """How a fault is notified, and by which rule (None: the default of its level)."""

    priority: str
    rule: str | None
    alert: str
    channel: str

    def __str__(self) -> str:
        rule = "default" if self.rule is None else repr(self.rule)
        return f"{self.priority} {rule}: {self.alert} by {self.channel}"


@dataclass(frozen=True)
class Outcome:
    """The notifications of one fault under one policy."""

    incidents: int
    ways: Mapping[Way, int]

    @classmethod
    def of(cls, notifications: Iterable[ReplayedNotification]) -> "Outcome":
        """Return the outcome of the notifications about a fault."""
        notified = list(notifications)
        ways = Counter(Way(each.priority, each.rule, each.alert, each.channel) for each in notified)
        return cls(len({each.incident for each in notified}), ways)

    def as_json(self) -> dict[str, Any]:
        """Return the outcome for `--json`."""
        ways = [way._asdict() | {"count": count} for way, count in _sorted(self.ways)]
        return {"incidents": self.incidents, "notified": ways}


@dataclass(frozen=True)
class Difference:
    """A fault, and its outcome under both policies."""

    fault: Fault
    current: Outcome
    new: Outcome

    @property
    def is_changed(self) -> bool:
        """Whether the notifications differ."""
        return self.current.ways != self.new.ways


def compare(current: Iterable[ReplayedNotification], new: Iterable[ReplayedNotification]) -> list[Difference]:
    """Return both outcomes of each fault that at least one policy notifies of."""
    by_fault: dict[Fault, tuple[list[ReplayedNotification], list[ReplayedNotification]]] = {}
    for side, notifications in enumerate((current, new)):
        for each in notifications:
            by_fault.setdefault(each.fault, ([], []))[side].append(each)
    return [Difference(fault, *map(Outcome.of, by_fault[fault])) for fault in sorted(by_fault)]


def totals(differences: Iterable[Difference]) -> dict[Way, tuple[int, int]]:
    """Return how often each way is used under the current and the new policy."""
    current: Counter[Way] = Counter()
    new: Counter[Way] = Counter()
    for each in differences:
        current.update(each.current.ways)
        new.update(each.new.ways)
    return {way: (current[way], new[way]) for way, _ in _sorted(current | new)}


def as_text(differences: list[Difference]) -> Iterator[str]:
    """Yield the lines of the report: each changed fault, then a table of all ways."""
    changed = [each for each in differences if each.is_changed]
    for each in changed[:MAX_SHOWN]:
        fault = each.fault
        yield f"{' / '.join(fault.fingerprint)} ({fault.service}, {fault.environment})"
        yield f"  - {_describe(each.current)}"
        yield f"  + {_describe(each.new)}"
    if len(changed) > MAX_SHOWN:
        yield f"and {len(changed) - MAX_SHOWN} more (--json shows all)"
    table = [
        (str(way), f"{now:,}", f"{then:,}", f"{then - now:+,}") for way, (now, then) in totals(differences).items()
    ]
    if not table:
        return
    rows = [("who is notified", "current", "new", "change"), *table]
    width = max(len(row[0]) for row in rows)
    yield ""
    for name, *counts in rows:
        yield f"{name:<{width}}  " + "  ".join(f"{count:>9}" for count in counts)


def as_json(differences: list[Difference]) -> dict[str, Any]:
    """Return all faults and totals."""
    faults = [
        {
            "environment": each.fault.environment,
            "service": each.fault.service,
            "monitoring_point": each.fault.monitoring_point,
            "fingerprint": list(each.fault.fingerprint),
            "changed": each.is_changed,
            "current": each.current.as_json(),
            "new": each.new.as_json(),
        }
        for each in differences
    ]
    summed = [way._asdict() | {"current": now, "new": then} for way, (now, then) in totals(differences).items()]
    return {"faults": faults, "totals": summed}


def _describe(outcome: Outcome) -> str:
    if not outcome.ways:
        return "no notification"
    ways = ", ".join(f"{way} ×{count}" for way, count in _sorted(outcome.ways))
    return f"{ways} ({outcome.incidents} incident{'s' if outcome.incidents > 1 else ''})"


def _sorted(ways: Mapping[Way, int]) -> list[tuple[Way, int]]:
    return sorted(
        ways.items(), key=lambda each: (each[0].priority, each[0].rule or "~", each[0].alert, each[0].channel)
    )
