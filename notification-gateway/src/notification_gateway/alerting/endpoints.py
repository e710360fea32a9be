"""GET /alerts and GET /alerts/{id}."""

from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import ValidationError
from sqlalchemy import Connection, select

from contracts.query_values import WholeNumber
from contracts.text import TypedText
from notification_gateway.alerting.schemas import (
    Alert,
    AlertDetail,
    AlertNotification,
    AlertPage,
    StackEntry,
    TimelineEntry,
)
from notification_gateway.incidents import queries, timeline
from notification_gateway.incidents.model import Incident
from notification_gateway.incidents.queries import of_row
from notification_gateway.incidents.states import Resolution
from notification_gateway.policy.model import Priority
from notification_gateway.storage import Storage
from notification_gateway.tables import incidents, notifications
from notification_gateway.unreadable import report_row
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

_Id = Annotated[int, WholeNumber(1)]
_Name = Annotated[str, TypedText(128)]


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
