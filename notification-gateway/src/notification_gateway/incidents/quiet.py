"""Ends incidents that have been quiet for a quarter of an hour."""

from collections.abc import Callable
from datetime import datetime

from notification_gateway.incidents import queries
from notification_gateway.incidents.telling import Telling
from notification_gateway.storage import INCIDENTS, Storage, isolated

# Its source says when it is over, and repeats itself only every few hours.
SAID_BY_SOURCE = ("alertmanager.alert",)
# Sentry says it of these, and says nothing more until then; of an event alert it says nothing at all.
_SENTRY_POINT = "sentry.alert"
_SAID_BY_SENTRY = (["sentry", "issue"], ["sentry", "metric_alert"])


class QuietIncidents:
    """Looks for them whenever it is asked to."""

    def __init__(self, storage: Storage, telling: Telling, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._telling = telling
        self._clock = clock

    def resolve(self) -> int:
        """End what has been quiet; returns how many incidents that were."""
        now = self._clock()
        with self._storage.alone(INCIDENTS) as connection:
            quiet = [
                incident
                for incident in queries.quiet_since(connection, now, SAID_BY_SOURCE)
                if incident.monitoring_point != _SENTRY_POINT or incident.fingerprint[:2] not in _SAID_BY_SENTRY
            ]
            for incident in quiet:
                with isolated(connection, "quiet incidents"):
                    incident.resolve("quiet", now)
                    self._telling.resolved(connection, incident, now)
                    queries.save(connection, incident)
        return len(quiet)
