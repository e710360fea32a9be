"""GET /alerts and GET /alerts/{id}."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import Connection, select

from contracts.query_values import WholeNumber
from contracts.text import TypedText
from notification_gateway.incidents import queries, timeline
from notification_gateway.incidents.model import Incident, Resolution
from notification_gateway.incidents.queries import of_row
from notification_gateway.outbox.model import NotificationState
from notification_gateway.policy.model import Priority
from notification_gateway.storage import Storage
from notification_gateway.tables import incidents, notifications
from notification_gateway.unreadable import report_row
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

_Id = Annotated[int, WholeNumber(1)]
_Name = Annotated[str, TypedText(128)]


class AlertNotification(BaseModel):
    """One message about an incident. `suppressed`: not sent (environment verify); `grouped`: part of another."""

    kind: Annotated[str, Field(description="Occasion of the message", examples=["opened"])]
    channel: Annotated[str, Field(description="Channel of the message", examples=["weixin"])]
    state: Annotated[NotificationState, Field(description="State of the delivery", examples=["sent"])]
    attempts: Annotated[int, Field(description="Tries so far", examples=[1])]
    created_at: Annotated[datetime, Field(description="When it was queued", examples=["2026-11-24T03:10:00Z"])]
    sent_at: Annotated[
        datetime | None, Field(description="When it was delivered; null until then", examples=["2026-11-24T03:10:00Z"])
    ]
    detail: Annotated[str, Field(description="The last answer of the channel's service")]


class Alert(BaseModel):
    """An incident: what happened, how often, and who was notified."""

    id: Annotated[int, Field(description="Id of the incident", examples=[42])]
    state: Annotated[Literal["open", "resolved"], Field(description="Whether the fault goes on")]
    resolution: Annotated[Resolution | None, Field(description="How it ended")]
    closed_by: Annotated[
        str | None, Field(description="The person who closed it, or the other service that reported the recovery")
    ]
    priority: Annotated[Priority, Field(description="By the policy: P0 at once, P1 hourly, P2 daily")]
    rule: Annotated[str | None, Field(description="The policy's rule; null: the default of its level")]
    reason: Annotated[str, Field(description="Why it has this priority", examples=["rule Critical Failures"])]
    monitoring_point: Annotated[
        str, Field(description="Id in the catalogue of monitoring points", examples=["model.deployment_failed"])
    ]
    fingerprint: Annotated[
        list[str], Field(description="What makes two signals the same fault", examples=[["model", "deployment_failed"]])
    ]
    level: Annotated[str, Field(description="Level of the worst signal", examples=["error"])]
    category: Annotated[str, Field(description="Category of the point", examples=["model"])]
    service: Annotated[str, Field(description="Service that reported it", examples=["model-registry"])]
    environment: Annotated[str, Field(description="Environment of the reporter", examples=["production"])]
    message: Annotated[
        str,
        Field(
            description="Message of the latest signal",
            examples=["deploy of version 5 rejected: checksum of ranker.txt differs"],
        ),
    ]
    occurrences: Annotated[int, Field(description="How often the fault was reported", examples=[3])]
    first_seen: Annotated[
        datetime,
        Field(description="Time of the first report, by the reporter's clock", examples=["2026-11-24T03:10:00Z"]),
    ]
    last_seen: Annotated[
        datetime,
        Field(description="Time of the latest report, by the reporter's clock", examples=["2026-11-24T03:10:00Z"]),
    ]
    opened_at: Annotated[
        datetime, Field(description="When the gateway opened the incident", examples=["2026-11-24T03:10:00Z"])
    ]
    resolved_at: Annotated[datetime | None, Field(description="When the incident ended; null while it is open")]
    request_ids: Annotated[
        list[str],
        Field(
            description="Requests that met the fault; the collector finds their events", examples=[["req_5f2b8c0d1e3a"]]
        ),
    ]
    tags: Annotated[
        dict[str, str],
        Field(description="Tags of the latest signal", examples=[{"model_name": "ranker", "stage": "checksum"}]),
    ]
    event_id: Annotated[str | None, Field(description="The latest event in the collector")]
    acknowledged_at: Annotated[datetime | None, Field(description="When it was acknowledged first")]
    acknowledged_by: Annotated[str | None, Field(description="Who takes care of it")]
    escalated_at: Annotated[datetime | None, Field(description="When it was escalated because no one acknowledged it")]
    assignee: Annotated[str | None, Field(description="Who is to take care of it")]
    parent_id: Annotated[int | None, Field(description="The incident that explains it, or that a person put it under")]
    grouped_by: Annotated[str | None, Field(description="Who put it there; null: the catalogue's `explains`")]
    episode: Annotated[str, Field(description="The run, deployment or start that fired it last")]
    last_notified_at: Annotated[datetime | None, Field(description="When people were notified last")]
    silence_id: Annotated[int | None, Field(description="The silence that covers it")]
    notifications: Annotated[list[AlertNotification], Field(description="Messages about the incident, oldest first")]


class TimelineEntry(BaseModel):
    """One change of an incident. An empty `actor` means the gateway itself."""

    at: Annotated[datetime, Field(description="When", examples=["2026-11-24T03:10:00Z"])]
    kind: Annotated[str, Field(examples=["acknowledged"], description="What happened")]
    actor: Annotated[str, Field(description="Who did it; empty: the gateway", examples=["li.wei"])]
    detail: Annotated[str, Field(description="More about it", examples=[""])]


class StackEntry(BaseModel):
    """One change of the stack in the hour before the incident."""

    at: Annotated[datetime, Field(description="When", examples=["2026-11-24T03:10:00Z"])]
    kind: Annotated[str, Field(description="deployment, run or policy", examples=["deployment"])]
    subject: Annotated[str, Field(examples=["ranker 12"], description="What changed")]
    detail: Annotated[str, Field(description="More about it", examples=["deployed as primary by ci@main"])]


class AlertDetail(Alert):
    """An incident with its timeline, its children, and the changes of the stack before it."""

    timeline: Annotated[list[TimelineEntry], Field(description="What happened to the incident, oldest first")]
    children: Annotated[list[int], Field(description="Ids of the incidents under this one")]
    changes_before: Annotated[list[StackEntry], Field(description="What changed in the stack in the hour before")]


class AlertPage(BaseModel):
    """Incidents, newest first. Pass `next_before` as `before` to get the next page."""

    alerts: Annotated[list[Alert], Field(description="One page of incidents")]
    next_before: Annotated[int | None, Field(description="`before` of the next page; null: this is the last")]


def router(storage: Storage) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(tags=["alerts"])

    @routes.get("/alerts/{incident_id}", responses=problem_responses(503, not_found="There is no such incident"))
    def get_alert(incident_id: Annotated[_Id, Path(description="The incident's id")]) -> AlertDetail:
        """Show an incident with its timeline."""
        return detail_of(storage, incident_id)

    @routes.get("/alerts", responses=problem_responses(503))
    def get_alerts(
        *,
        state: Annotated[Literal["open", "resolved"] | None, Query(description="Only these")] = None,
        priority: Annotated[Priority | None, Query(description="Only this priority")] = None,
        resolution: Annotated[Resolution | None, Query(description="Only those that ended so")] = None,
        parent: Annotated[_Id | None, Query(description="Only those under this incident")] = None,
        service: Annotated[_Name | None, Query(description="Only this service's")] = None,
        environment: Annotated[_Name | None, Query(description="Only this environment's")] = None,
        monitoring_point: Annotated[_Name | None, Query(description="Only this point's")] = None,
        before: Annotated[
            Annotated[int, WholeNumber(1)] | None, Query(description="Only incidents with a lower id")
        ] = None,
        limit: Annotated[int, WholeNumber(1, 500), Query(description="How many")] = 100,
    ) -> AlertPage:
        """List incidents, newest first, with what was sent about each."""
        statement = select(incidents).order_by(incidents.c.id.desc()).limit(limit + 1)
        wanted = {
            "state": state,
            "priority": priority,
            "resolution": resolution,
            "parent_id": parent,
            "service": service,
            "environment": environment,
            "monitoring_point": monitoring_point,
        }
        for name, value in wanted.items():
            if value is not None:
                statement = statement.where(incidents.c[name] == value)
        if before is not None:
            statement = statement.where(incidents.c.id < before)
        with storage.read() as connection:
            found = [of_row(row) for row in connection.execute(statement).mappings()]
            sent = notifications_of(connection, [incident.id for incident in found[:limit]])
        alerts = [alert for each in found[:limit] if (alert := _alert(each, sent.get(each.id, []))) is not None]
        return AlertPage(alerts=alerts, next_before=found[limit - 1].id if len(found) > limit else None)

    return routes


def detail_of(storage: Storage, incident_id: int) -> AlertDetail:
    """Return an incident with its timeline; raises `ProblemError`."""
    with storage.read() as connection:
        incident = queries.by_id(connection, incident_id)
        if incident is None:
            raise ProblemError(404, f"There is no incident {incident_id}.")
        sent = notifications_of(connection, [incident_id]).get(incident_id, [])
        changes = timeline.changes_of(connection, incident_id)
        before = timeline.stack_changes_before(connection, incident)
        children = [each.id for each in queries.children(connection, incident_id)]
    alert = _alert(incident, sent)
    if alert is None:
        raise ProblemError(404, f"Incident {incident_id} can't be read: see the log.")
    return AlertDetail(
        **dict(alert),
        timeline=[TimelineEntry(at=each.at, kind=each.kind, actor=each.actor, detail=each.detail) for each in changes],
        children=children,
        changes_before=[
            StackEntry(at=each.at, kind=each.kind, subject=each.subject, detail=each.detail) for each in before
        ],
    )


def notifications_of(connection: Connection, incident_ids: list[int]) -> dict[int, list[AlertNotification]]:
    """Return the notifications of each incident, sent or waiting, by incident id."""
    rows = connection.execute(
        select(notifications).where(notifications.c.incident_id.in_(incident_ids)).order_by(notifications.c.id)
    ).mappings()
    by_incident: dict[int, list[AlertNotification]] = {}
    for row in rows:
        fields = {name: row[name] for name in AlertNotification.model_fields}
        try:
            by_incident.setdefault(row["incident_id"], []).append(AlertNotification.model_validate(fields))
        except ValidationError as error:
            report_row(notifications.name, row["id"], error)
    return by_incident


def _alert(incident: Incident, sent: list[AlertNotification]) -> Alert | None:
    """Return an incident as the API shows it, or None if it can't be read: the list shows the others."""
    fields = {name: getattr(incident, name) for name in Alert.model_fields if name != "notifications"}
    try:
        return Alert.model_validate(fields | {"notifications": sent})
    except ValidationError as error:
        report_row(incidents.name, incident.id, error)
        return None
