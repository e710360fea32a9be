"""The timeline of an incident, and the changes of the stack in the hour before it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, insert, select

from contracts.signals import AlertSignal
from notification_gateway.incidents.model import Change, Incident
from notification_gateway.tables import incident_changes, stack_changes

StackChangeKind = Literal["deployment", "run", "policy"]
# Changes of the stack that are shown with an incident: those of the hour before it.
LOOK_BACK = timedelta(hours=1)
MAX_STACK_CHANGES = 50
MAX_SUBJECT_CHARS = 256
# A change of the alert policy concerns every environment.
EVERY_ENVIRONMENT = ""


@dataclass(frozen=True, slots=True)
class StackChange:
    """A deployment, a passed task of a run, or an edit of the policy."""

    at: datetime
    kind: StackChangeKind
    subject: str
    detail: str


def store_changes(connection: Connection, incident: Incident) -> None:
    """Store the changes of an incident that are not stored yet."""
    if incident.changes:
        rows = [
            {"incident_id": incident.id, "at": each.at, "kind": each.kind, "actor": each.actor, "detail": each.detail}
            for each in incident.changes
        ]
        connection.execute(insert(incident_changes), rows)
        incident.changes.clear()


def changes_of(connection: Connection, incident_id: int) -> list[Change]:
    """Return the timeline of an incident, oldest first."""
    rows = connection.execute(
        select(incident_changes).where(incident_changes.c.incident_id == incident_id).order_by(incident_changes.c.id)
    )
    return [Change(row.at, row.kind, row.actor, row.detail) for row in rows]


def add_stack_changes(connection: Connection, environment: str, changes: Iterable[StackChange]) -> None:
    """Store changes of the stack."""
    rows = [
        {
            "at": each.at,
            "kind": each.kind,
            "environment": environment,
            "subject": each.subject[:MAX_SUBJECT_CHARS],
            "detail": each.detail,
        }
        for each in changes
    ]
    if rows:
        connection.execute(insert(stack_changes), rows)


def stack_changes_before(connection: Connection, incident: Incident) -> Sequence[StackChange]:
    """Return the changes of the stack in the hour before an incident, oldest first."""
    rows = connection.execute(
        select(stack_changes)
        .where(
            stack_changes.c.at > incident.opened_at - LOOK_BACK,
            stack_changes.c.at <= incident.opened_at,
            stack_changes.c.environment.in_((incident.environment, EVERY_ENVIRONMENT)),
        )
        .order_by(stack_changes.c.id.desc())
        .limit(MAX_STACK_CHANGES)
    )
    return [StackChange(row.at, row.kind, row.subject, row.detail) for row in rows][::-1]


def stack_change_of(recovery: AlertSignal, now: datetime) -> StackChange | None:
    """Return the change of the stack that a recovery reports: a deployed model or a passed task; None: no change."""
    tags = recovery.tags
    if recovery.monitoring_point == "model.deployment_failed" and tags.get("model_version"):
        subject = f"{tags.get('model_name', 'model')} {tags['model_version']}"
        return StackChange(now, "deployment", subject, recovery.service)
    if recovery.monitoring_point == "airflow.task_failed" and tags.get("run_id"):
        return StackChange(
            now, "run", f"{tags.get('dag_id', '')} {tags['run_id']}", f"{tags.get('task_id', '')} passed"
        )
    return None
