"""How an incident ends, and which tags name its episodes: from the catalogue, or by its source."""

from collections.abc import Sequence
from functools import cache
from typing import Protocol

from contracts.signals import AlertSignal
from monitoring import catalogue
from monitoring.catalogue import Ending

ALERTMANAGER_POINT = "alertmanager.alert"
SENTRY_POINT = "sentry.alert"
# Sentry reports the end of these, and sends nothing in between. It never reports the end of an event alert.
_ENDED_BY_SENTRY = (["sentry", "issue"], ["sentry", "metric_alert"])
_STEP_POINTS = ("pipeline.critical_step_failed", "pipeline.step_failed")
# The tag with Alertmanager's start time of an alert's episode.
STARTS_AT = "starts_at"
MAX_EPISODE_CHARS = 256


class Identified(Protocol):
    """A signal or an incident."""

    @property
    def monitoring_point(self) -> str: ...
    @property
    def fingerprint(self) -> Sequence[str]: ...


def ending_of(identified: Identified) -> Ending:
    """Return how its incident ends; unknown points end by quiet."""
    point = catalogue.load_all().by_id().get(identified.monitoring_point)
    if point is not None:
        return point.ends
    if identified.monitoring_point == ALERTMANAGER_POINT:
        return "by_source"
    if identified.monitoring_point == SENTRY_POINT and list(identified.fingerprint[:2]) in _ENDED_BY_SENTRY:
        return "by_source"
    return "by_quiet"


@cache
def points_that_never_go_quiet() -> tuple[str, ...]:
    """Return the points whose incidents don't end by quiet."""
    points = [point.id for point in catalogue.load_all() if point.ends != "by_quiet"]
    return (*points, ALERTMANAGER_POINT)


def is_ended_by_its_service(monitoring_point: str) -> bool:
    """Say whether only the service that failed can report the recovery, because the point is about its own process."""
    point = catalogue.load_all().by_id().get(monitoring_point)
    return point is not None and point.component == "api"


def equivalent_points(monitoring_point: str) -> tuple[str, ...]:
    """Return the points whose incidents a recovery of this point ends: both of a step, which may become critical."""
    return _STEP_POINTS if monitoring_point in _STEP_POINTS else (monitoring_point,)


def episode_of(signal: AlertSignal) -> str:
    """Return the run, deployment or start that a signal belongs to, or an empty text if it names none."""
    if signal.monitoring_point == ALERTMANAGER_POINT:
        return signal.tags.get(STARTS_AT, "")
    point = catalogue.load_all().by_id().get(signal.monitoring_point)
    values = [] if point is None else [signal.tags[name] for name in point.episode if signal.tags.get(name)]
    return " / ".join(values)[:MAX_EPISODE_CHARS]


def is_new_episode(monitoring_point: str, current: str, seen: str) -> bool:
    """Say whether `seen` is a newer episode than `current`; an earlier one that comes late is not."""
    if not seen or not current:
        return False
    # Times in UTC sort as texts; the names of runs and deployments have no order.
    return seen > current if monitoring_point == ALERTMANAGER_POINT else seen != current
