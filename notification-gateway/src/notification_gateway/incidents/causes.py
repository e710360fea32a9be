"""Decides which incident explains which, by the catalogue's `explains`; no database access."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache

from monitoring import catalogue
from monitoring.catalogue import ALERT_PREFIX, Point, open_part
from notification_gateway.incidents.book import Firing
from notification_gateway.incidents.endings import ALERTMANAGER_POINT, Identified
from notification_gateway.incidents.model import Incident

# How long a symptom's message waits for its cause.
GRACE = timedelta(seconds=15)
# How long before its cause a symptom may open.
BEFORE = timedelta(minutes=1)
# An ongoing cause fires once a minute; without a signal for this long it no longer explains anything.
ACTIVE = timedelta(seconds=150)
# How long after its end a cause explains new symptoms; longer for alerts, since Prometheus's rules look back.
AFTER = timedelta(minutes=2)
ALERTS_AFTER = timedelta(minutes=10)
# How long after an incident another one of its point may open as the same fault. A later one has a cause of its own.
SAME_FAULT = timedelta(minutes=10)


def symptom_name(identified: Identified) -> str:
    """Return the name that `explains` uses: the monitoring point, or `alert:` and the name of a Prometheus alert."""
    if identified.monitoring_point == ALERTMANAGER_POINT and len(identified.fingerprint) > 1:
        return f"{ALERT_PREFIX}{identified.fingerprint[1]}"
    return identified.monitoring_point


@cache
def causes_of_symptom(symptom: str) -> frozenset[str]:
    """Return the points that may explain a symptom."""
    return frozenset(point.id for point in catalogue.load_all() if symptom in _explained(point))


@cache
def symptom_points(cause: str) -> frozenset[str]:
    """Return the points of the incidents that a point may explain."""
    point = catalogue.load_all().by_id().get(cause)
    explained = () if point is None else _explained(point)
    return frozenset(ALERTMANAGER_POINT if each.startswith(ALERT_PREFIX) else each for each in explained)


def explains(cause: Incident, symptom: Incident, now: datetime) -> bool:
    """Say whether `cause` explains `symptom` now: it is ongoing, or ended a short time ago.

    A less urgent incident never explains a more urgent one. An incident that opened well before has another cause.
    A cause that belongs to a run explains only incidents of the same run. Of incidents of one point that are the same
    fault, the oldest explains those that open shortly after it, before a person has seen it.
    """
    return (
        cause.id != symptom.id
        and cause.parent_id is None
        and cause.environment == symptom.environment
        and symptom.opened_at >= cause.opened_at - BEFORE
        and cause.priority <= symptom.priority
        and cause.silence_id is None
        and cause.monitoring_point in causes_of_symptom(symptom_name(symptom))
        and _is_same_fault(cause, symptom)
        and _is_same_run(cause, symptom)
        and _is_active(cause, symptom, now)
    )


def find_cause(symptom: Incident, candidates: Iterable[Incident], now: datetime) -> Incident | None:
    """Return the incident that explains a symptom, or None; of several the most urgent, then the oldest."""
    causes = [each for each in candidates if explains(each, symptom, now)]
    return min(causes, key=lambda each: (each.priority, each.opened_at, each.id), default=None)


def find_symptoms(cause: Incident, candidates: Iterable[Incident], now: datetime) -> list[Incident]:
    """Return the open incidents that a new cause explains."""
    return [
        each for each in candidates if each.state == "open" and each.parent_id is None and explains(cause, each, now)
    ]


def explained_until(cause: Incident, symptom: Incident) -> datetime | None:
    """Return until when a cause explains a symptom; None while the cause is open.

    An open cause of the same point explains it only while the cause fires, because the operations may fail for two
    reasons; a person who grouped them knows better.
    """
    if cause.resolved_at is None:
        is_same_fault = cause.monitoring_point == symptom.monitoring_point and symptom.grouped_by is None
        return cause.last_signal_at + ACTIVE if is_same_fault else None
    return cause.resolved_at + _time_after_end(symptom)


def regroup(firing: Firing, candidates: Iterable[Incident], now: datetime) -> list[Incident]:
    """Put a fired incident under its cause; put earlier symptoms under a new cause.

    `candidates` holds the incident's parent, its possible causes and its possible symptoms. Returns the incidents that
    were grouped. An incident whose cause no longer explains it is ungrouped.
    """
    incident, near = firing.incident, list(candidates)
    if incident.parent_id is not None and incident.grouped_by is None:
        cause = next((each for each in near if each.id == incident.parent_id), None)
        if cause is None or not explains(cause, incident, now):
            incident.ungroup(now)
    # People may know of an earlier one of the same fault by now, so it stays what it is.
    possible = near if firing.opened else [each for each in near if each.monitoring_point != incident.monitoring_point]
    if incident.parent_id is None and (cause := find_cause(incident, possible, now)) is not None:
        incident.group_under(cause.id, now)
        return [incident]
    symptoms = find_symptoms(incident, near, now) if firing.opened and incident.parent_id is None else []
    for symptom in symptoms:
        symptom.group_under(incident.id, now)
    return symptoms


def _explained(point: Point) -> tuple[str, ...]:
    return (*point.explains, point.id) if point.same_fault else point.explains


def _is_same_fault(cause: Incident, symptom: Incident) -> bool:
    """Say whether two incidents, if they are of one point, differ only in what does not make another fault."""
    if cause.monitoring_point != symptom.monitoring_point:
        return True
    point = catalogue.load_all().by_id()[cause.monitoring_point]
    pairs = zip(point.fingerprint, cause.fingerprint, symptom.fingerprint, strict=False)
    equal = {open_part(part) for part, ours, theirs in pairs if ours == theirs}
    is_seen = cause.acknowledged_at is not None and cause.acknowledged_at < symptom.opened_at
    is_near = cause.id < symptom.id and symptom.opened_at - cause.opened_at <= SAME_FAULT
    return is_near and not is_seen and equal.issuperset(point.same_fault)


def _is_same_run(cause: Incident, symptom: Incident) -> bool:
    has_runs = catalogue.load_all().by_id()[cause.monitoring_point].episode
    return not has_runs or _is_alert(symptom) or cause.episode == symptom.episode


def _is_active(cause: Incident, symptom: Incident, now: datetime) -> bool:
    if cause.state == "open":
        return now - cause.last_signal_at <= ACTIVE
    # An incident that a person has closed explains no later ones.
    ended_by_itself = cause.resolution in ("recovered", "quiet")
    return ended_by_itself and cause.resolved_at is not None and now - cause.resolved_at <= _time_after_end(symptom)


def _time_after_end(symptom: Incident) -> timedelta:
    """Return how long after its end a cause explains a symptom."""
    return ALERTS_AFTER if _is_alert(symptom) else AFTER


def _is_alert(incident: Incident) -> bool:
    return incident.monitoring_point == ALERTMANAGER_POINT
