"""Compares the events that arrived with the catalogue. Pure: events in, verdicts out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitoring.catalogue import EXCEPTION_PART, Point, open_part
from notification_gateway.policy.model import Policy
from verify.alerts import IMMEDIATE, Alert, Intended, Key, intended_alerts, key_of_event
from verify.collector import Arrived
from verify.faults import Raised


@dataclass(frozen=True)
class Verdict:
    """The result for one point; `wrong` lists its faults, and is empty if there are none.

    `alert` is the gateway's incident, `intended` how it reaches people by the policy; None if that is not known.
    """

    point: Point
    events: Sequence[Arrived] = ()
    wrong: list[str] = field(default_factory=list)
    alert: Alert | None = None
    intended: Intended | None = None

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self.wrong

    @property
    def first(self) -> Arrived | None:
        """The event shown in the table."""
        return self.events[0] if self.events else None

    @property
    def issues(self) -> int:
        """The number of issues that the collector made of the events."""
        return len({event.issue for event in self.events})


def judge(
    point: Point,
    raised: Raised,
    events: Sequence[Arrived],
    alerts: Mapping[Key, Alert] | None,
    policy: Policy | None = None,
) -> Verdict:
    """Judge a point by the events of a run; without a gateway `alerts` is None."""
    of_point = [event for event in events if event.tags.get("monitoring_point") == point.id]
    # The event of the right service first: other services may have reported the fault too.
    of_point.sort(key=lambda event: (event.tags.get("service") != raised.service, event.event["timestamp"]))
    if not of_point:
        return Verdict(point, wrong=["no event arrived"])
    first = of_point[0]
    wrong = [text for text in (*_deviations(point, raised, first), _grouping(of_point)) if text]
    if alerts is None:
        return Verdict(point, of_point, wrong)
    alert = alerts.get(key_of_event(first))
    if alert is None:
        return Verdict(point, of_point, [*wrong, "the gateway has no alert of this run"])
    if alert.notified_people():
        wrong.append("the gateway notified people")
    if policy is None:
        return Verdict(point, of_point, wrong, alert)
    possible = intended_alerts(policy, point, first)
    intended = next((each for each in possible if each.priority == alert.priority), None)
    if intended is None:
        wrong.append(
            f"the alert is {alert.priority}, but by the policy {' or '.join(map(str, dict.fromkeys(possible)))}"
        )
    else:
        wrong += [f"no message was made for {each}" for each in _missing(alert, intended)]
    return Verdict(point, of_point, wrong, alert, intended)


def _missing(alert: Alert, intended: Intended) -> list[str]:
    """Return the channels that a message should have been made for. Summaries leave the environment `verify` out."""
    wanted = [way.channel for way in intended.ways if way.when == IMMEDIATE]
    return [channel for channel in wanted if not alert.has_message(channel)]


def grouped(verdicts: Sequence[Verdict]) -> bool:
    """Return whether the collector made exactly one issue of each fingerprint."""
    pairs = {
        (tuple(event.event.get("fingerprint") or ()), event.issue) for verdict in verdicts for event in verdict.events
    }
    return len(pairs) == len({fingerprint for fingerprint, _ in pairs}) == len({issue for _, issue in pairs})


def tags_missing(point: Point, raised: Raised, arrived: Arrived) -> list[str]:
    """Return the tags that are missing from the event."""
    wanted = ("service", "monitoring_point", *point.tags, *(("request_id",) if raised.in_request else ()))
    return [name for name in wanted if not arrived.tags.get(name)]


def context_missing(point: Point, arrived: Arrived) -> list[str]:
    """Return the fields that are missing from the event's context."""
    context = (arrived.event.get("contexts") or {}).get(point.component) or {}
    return [name for name in ("occurrences", "first_seen", "last_seen") if name not in context]


def _deviations(point: Point, raised: Raised, arrived: Arrived) -> list[str]:
    event = arrived.event
    level = _level(point, arrived)
    found = []
    if arrived.tags.get("service") != raised.service:
        found.append(f"it came from {arrived.tags.get('service')}, not {raised.service}")
    if not _fits(point, arrived):
        found.append(f"fingerprint {event.get('fingerprint')}")
    if event.get("level") != level:
        found.append(f"level {event.get('level')}, not {level}")
    if missing := tags_missing(point, raised, arrived):
        found.append(f"no tag {', '.join(missing)}")
    if missing := context_missing(point, arrived):
        found.append(f"no {', '.join(missing)} in the context {point.component}")
    crumbs = [crumb["message"] for crumb in (event.get("breadcrumbs") or {}).get("values", ())]
    if point.breadcrumbs and not set(point.breadcrumbs) & set(crumbs):
        found.append(f"no breadcrumb {' or '.join(point.breadcrumbs)}")
    return found


def _level(point: Point, arrived: Arrived) -> str:
    by = point.level_by
    return point.level if by is None else by.values.get(arrived.tags.get(by.field, ""), point.level)


def _fits(point: Point, arrived: Arrived) -> bool:
    """Return whether the fingerprint is the catalogue's, with its open parts filled from the event."""
    fingerprint = arrived.event.get("fingerprint") or []
    exceptions = (arrived.event.get("exception") or {}).get("values") or [{}]
    known = {**arrived.tags, EXCEPTION_PART: exceptions[-1].get("type")}
    wanted = [part if (name := open_part(part)) is None else known.get(name) for part in point.fingerprint]
    return bool(fingerprint == wanted)


def _grouping(events: Sequence[Arrived]) -> str | None:
    """Expected is one issue per fingerprint; a point without open parts in its fingerprint has one fingerprint."""
    by_fingerprint: dict[Key, set[str]] = {}
    for event in events:
        by_fingerprint.setdefault(tuple(event.event.get("fingerprint") or ()), set()).add(event.issue)
    issues = {event.issue for event in events}
    if any(len(found) > 1 for found in by_fingerprint.values()) or len(issues) != len(by_fingerprint):
        return f"{len(events)} events of {len(by_fingerprint)} fingerprints are {len(issues)} issues"
    return None
