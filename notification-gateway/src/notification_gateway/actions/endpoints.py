"""POST /alerts/{id}/…: actions on an incident, with the admin token."""

from typing import Annotated

from fastapi import Path

from contracts.query_values import WholeNumber
from notification_gateway.actions.schemas import (
    Acknowledgement,
    Assignment,
    Closing,
    Grouping,
    NewAcknowledgement,
    NewComment,
    Reopening,
)
from notification_gateway.actions.service import IncidentActions
from notification_gateway.alerting.endpoints import detail_of
from notification_gateway.alerting.schemas import AlertDetail
from notification_gateway.incidents.model import Incident
from notification_gateway.storage import Storage
from servicekit.bearer import Access
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

IncidentId = Annotated[int, WholeNumber(1), Path(description="The incident's id")]


def router(actions: IncidentActions, storage: Storage, access: Access) -> ApiRouter:
    """Return the routes for actions."""
    routes = ApiRouter(prefix="/alerts/{incident_id}", tags=["alerts"])
    guard = access.allow("admin")
    not_found_responses = problem_responses(503, not_found="There is no such incident")

    def show_detail(incident: Incident) -> AlertDetail:
        return detail_of(storage, incident.id)

    @routes.post("/acknowledgement", dependencies=guard, responses=not_found_responses)
    def post_acknowledgement(incident_id: IncidentId, new: NewAcknowledgement) -> Acknowledgement:
        """Acknowledge an incident: it is not escalated, and reminders stop."""
        incident = actions.acknowledge(incident_id, new.by, new.comment)
        return Acknowledgement(
            incident_id=incident.id,
            acknowledged_by=incident.acknowledged_by,
            acknowledged_at=incident.acknowledged_at,
        )

    @routes.post(
        "/close",
        dependencies=guard,
        responses=not_found_responses | problem_responses(conflict="The incident has ended"),
    )
    def post_close(incident_id: IncidentId, closing: Closing) -> AlertDetail:
        """Close an open incident and its children, as solved or as a false alarm.

        One that has ended may still be marked as a false alarm.
        """
        return show_detail(actions.close(incident_id, closing.by, closing.comment, false_alarm=closing.false_alarm))

    @routes.post(
        "/reopen",
        dependencies=guard,
        responses=not_found_responses
        | problem_responses(conflict="The incident is open, or the same fault has a newer one"),
    )
    def post_reopen(incident_id: IncidentId, reopening: Reopening) -> AlertDetail:
        """Reopen an ended incident; its acknowledgement is removed, and reminders start again."""
        return show_detail(actions.reopen(incident_id, reopening.by, reopening.comment))

    @routes.post("/assignment", dependencies=guard, responses=not_found_responses)
    def post_assignment(incident_id: IncidentId, new: Assignment) -> AlertDetail:
        """Assign an incident to a person."""
        return show_detail(actions.assign(incident_id, new.assignee, new.by, new.comment))

    @routes.post("/comments", dependencies=guard, responses=not_found_responses)
    def post_comment(incident_id: IncidentId, new: NewComment) -> AlertDetail:
        """Add a comment to the timeline of an incident."""
        return show_detail(actions.comment(incident_id, new.text, new.by))

    @routes.post(
        "/parent",
        dependencies=guard,
        responses=not_found_responses
        | problem_responses(conflict="The incident cannot be put under that one; `detail` says why"),
    )
    def post_parent(incident_id: IncidentId, grouping: Grouping) -> AlertDetail:
        """Put an incident under another one, or remove it from its parent."""
        return show_detail(actions.group(incident_id, grouping.parent_id, grouping.by, grouping.comment))

    return routes
