"""Applies a person's action to an incident, and records it in the timeline."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection

from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.incidents import queries
from notification_gateway.incidents.model import Incident
from notification_gateway.incidents.states import Resolution
from notification_gateway.storage import INCIDENTS, Storage

Before = Callable[[Connection], None]


def nothing_before(_connection: Connection) -> None:
    """Do nothing before the action."""


class IncidentNotFoundError(LookupError):
    """There is no such incident: look at `GET /alerts`."""

    def __init__(self, incident_id: int) -> None:
        super().__init__(f"There is no incident {incident_id}.")


class IncidentStateError(ValueError):
    """The action is not possible in the incident's state; the message says what to do instead."""


class IncidentActions:
    """`before` runs first in the transaction of an action; if it raises, the action is not done."""

    def __init__(
        self,
        storage: Storage,
        notifier: IncidentNotifier,
        clock: Callable[[], datetime],
        on_stored: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._notifier = notifier
        self._clock = clock
        self._on_stored = on_stored

    def get(self, incident_id: int) -> Incident:
        """Return an incident; raises `IncidentNotFoundError`."""
        with self._storage.read() as connection:
            return _load(connection, incident_id)

    def acknowledge(self, incident_id: int, by: str, comment: str = "", before: Before = nothing_before) -> Incident:
        """Record who takes care of an incident; it is not escalated, and reminders stop."""
        with self._changing(incident_id, by, comment, before) as (_, incident):
            incident.acknowledge(by, self._clock())
        return incident

    def assign(self, incident_id: int, assignee: str, by: str, comment: str = "") -> Incident:
        """Record who is to take care of an incident."""
        with self._changing(incident_id, by, comment) as (_, incident):
            incident.assign(assignee, by, self._clock())
        return incident

    def comment(self, incident_id: int, text: str, by: str) -> Incident:
        """Add a comment to the timeline."""
        with self._changing(incident_id, by, text) as (_, incident):
            pass
        return incident

    def close(
        self,
        incident_id: int,
        by: str,
        comment: str = "",
        *,
        false_alarm: bool = False,
        before: Before = nothing_before,
    ) -> Incident:
        """Close an incident and its children, or mark one that has ended as a false alarm.

        Raises `IncidentStateError` if it has ended and is not to be marked, or is marked already.
        """
        now = self._clock()
        with self._changing(incident_id, by, comment, before) as (connection, incident):
            if incident.state != "open":
                if not false_alarm or incident.resolution == "false_alarm":
                    raise IncidentStateError(f"Incident {incident_id} has ended ({incident.resolution}).")
                incident.mark_false_alarm(by, now)
                return incident
            resolution: Resolution = "false_alarm" if false_alarm else "closed"
            incident.resolve(resolution, now, now, by)
            self._notifier.notify_resolved(connection, incident, now)
            for child in queries.children(connection, incident_id):
                if child.state == "open":
                    child.resolve(resolution, now, now, by, f"with #{incident_id}")
                    self._notifier.notify_resolved(connection, child, now)
                    queries.update_incident(connection, child)
        self._on_stored()
        return incident

    def reopen(self, incident_id: int, by: str, comment: str = "", before: Before = nothing_before) -> Incident:
        """Reopen an incident; raises `IncidentStateError` if it is open, or if the same fault has a newer incident."""
        with self._changing(incident_id, by, comment, before) as (connection, incident):
            if incident.state == "open":
                raise IncidentStateError(f"Incident {incident_id} is open.")
            newest = queries.newest_by_key(connection, [incident.key])[incident.key]
            if newest.id != incident_id:
                raise IncidentStateError(f"The same fault has a newer incident, {newest.id}: use that one.")
            now = self._clock()
            if incident.parent_id is not None and _load(connection, incident.parent_id).state != "open":
                incident.ungroup(now, by)
            incident.reopen(by, now)
            self._notifier.withdraw_resolved(connection, incident)
        self._on_stored()
        return incident

    def group(self, incident_id: int, parent_id: int | None, by: str, comment: str = "") -> Incident:
        """Put an incident under another, or (None) remove it from its parent; raises `IncidentStateError`."""
        now = self._clock()
        with self._changing(incident_id, by, comment) as (connection, incident):
            if parent_id is None:
                incident.ungroup(now, by)
                return incident
            parent = _load(connection, parent_id)
            if parent_id == incident_id or parent.parent_id is not None:
                raise IncidentStateError(
                    f"Incident {parent_id} stands under {parent.parent_id or 'itself'}: name another."
                )
            if incident.state == "open" and parent.state != "open":
                raise IncidentStateError(f"Incident {parent_id} has ended ({parent.resolution}): name an open one.")
            if parent.environment != incident.environment:
                raise IncidentStateError(f"Incident {parent_id} is of the environment {parent.environment}.")
            for child in queries.children(connection, incident_id):
                child.group_under(parent_id, now, by)
                queries.update_incident(connection, child)
            incident.group_under(parent_id, now, by)
            self._notifier.withdraw_opened(connection, incident)
        return incident

    @contextmanager
    def _changing(
        self, incident_id: int, by: str, comment: str = "", before: Before = nothing_before
    ) -> Iterator[tuple[Connection, Incident]]:
        with self._storage.exclusive(INCIDENTS) as connection:
            before(connection)
            incident = _load(connection, incident_id)
            if comment:
                incident.comment(comment, by, self._clock())
            yield connection, incident
            queries.update_incident(connection, incident)


def _load(connection: Connection, incident_id: int) -> Incident:
    incident = queries.by_id(connection, incident_id)
    if incident is None:
        raise IncidentNotFoundError(incident_id)
    return incident
