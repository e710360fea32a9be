"""Which incident explains which, by the catalogue's `explains`; knows no database."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache

from monitoring import catalogue
from monitoring.catalogue import ALERT_PREFIX
from notification_gateway.incidents.book import Firing
from notification_gateway.incidents.endings import ALERTMANAGER_POINT, Identified
from notification_gateway.incidents.model import Incident

# A symptom's message waits so long for its cause.
GRACE = timedelta(seconds=15)
# A symptom that came so long before its cause still belongs to it.
BEFORE = timedelta(minutes=1)
# A cause that goes on says so once a minute.
ACTIVE = timedelta(seconds=150)
# So long after its end a cause explains what comes; rules of Prometheus look back for minutes.
AFTER = timedelta(minutes=2)
ALERTS_AFTER = timedelta(minutes=10)


def symptom_name(identified: Identified) -> str:
    """Return what `explains` calls it: its point, or the alert's name."""
    if identified.monitoring_point == ALERTMANAGER_POINT and len(identified.fingerprint) > 1:
        return f"{ALERT_PREFIX}{identified.fingerprint[1]}"
    return identified.monitoring_point


@cache
def causes_of_symptom(symptom: str) -> frozenset[str]:
    """Return the points that may explain a symptom."""
    return frozenset(point.id for point in catalogue.load_all() if symptom in point.explains)


@cache
def symptom_points(cause: str) -> frozenset[str]:
    """Return the points of the incidents that a point may explain."""
    point = catalogue.load_all().by_id().get(cause)
    explained = () if point is None else point.explains
    return frozenset(ALERTMANAGER_POINT if each.startswith(ALERT_PREFIX) else each for each in explained)


def explains(cause: Incident, symptom: Incident, now: datetime) -> bool:
    """Say whether `cause` goes on, or just ended, and explains `symptom`.

    A less urgent incident never hides a more urgent one. What was there before its cause has another one. What belongs
    to a run is explained by the same run only.
    """
    return (
        cause.id != symptom.id
        and cause.parent_id is None
        and cause.environment == symptom.environment
        and symptom.opened_at >= cause.opened_at - BEFORE
        and cause.priority <= symptom.priority
        and cause.silence_id is None
        and cause.monitoring_point in causes_of_symptom(symptom_name(symptom))
        and _is_same_run(cause, symptom)
        and _goes_on(cause, symptom, now)
    )


def find_cause(symptom: Incident, known: Iterable[Incident], now: datetime) -> Incident | None:
    """Return the most urgent and oldest incident that explains a symptom, or None."""
    causes = [each for each in known if explains(each, symptom, now)]
    return min(causes, key=lambda each: (each.priority, each.opened_at, each.id), default=None)


def find_symptoms(cause: Incident, known: Iterable[Incident], now: datetime) -> list[Incident]:
    """Return the open incidents that came shortly before the cause that explains them."""
    return [each for each in known if each.state == "open" and each.parent_id is None and explains(cause, each, now)]


def released_at(cause: Incident, symptom: Incident) -> datetime | None:
    """Return when a symptom that still goes on stands for itself again; None while its cause is open."""
    if cause.resolved_at is None:
        return None
    return cause.resolved_at + _explained_for(symptom)


def regroup(firing: Firing, known: Iterable[Incident], now: datetime) -> list[Incident]:
    """Put a fired incident under its cause, and under a new cause the symptoms that came before it.

    `known` holds the incident's parent, and all that may explain it or be explained by it. Returns the incidents that
    stand under another one now; one whose cause explains it no longer stands for itself again.
    """
    incident, near = firing.incident, list(known)
    if incident.parent_id is not None and incident.grouped_by is None:
        cause = next((each for each in near if each.id == incident.parent_id), None)
        if cause is None or not explains(cause, incident, now):
            incident.ungroup(now)
    if incident.parent_id is None and (cause := find_cause(incident, near, now)) is not None:
        incident.group_under(cause.id, now)
        return [incident]
    symptoms = find_symptoms(incident, near, now) if firing.opened and incident.parent_id is None else []
    for symptom in symptoms:
        symptom.group_under(incident.id, now)
    return symptoms


def _is_same_run(cause: Incident, symptom: Incident) -> bool:
    has_runs = catalogue.load_all().by_id()[cause.monitoring_point].episode
    return not has_runs or _is_alert(symptom) or cause.episode == symptom.episode


def _goes_on(cause: Incident, symptom: Incident, now: datetime) -> bool:
    if cause.state == "open":
        return now - cause.last_signal_at <= ACTIVE
    # What a person closed explains nothing that comes later.
    ended_by_itself = cause.resolution in ("recovered", "quiet")
    return ended_by_itself and cause.resolved_at is not None and now - cause.resolved_at <= _explained_for(symptom)


def _explained_for(symptom: Incident) -> timedelta:
    """Return how long after its end a cause explains a symptom."""
    return ALERTS_AFTER if _is_alert(symptom) else AFTER


def _is_alert(incident: Incident) -> bool:
    return incident.monitoring_point == ALERTMANAGER_POINT
