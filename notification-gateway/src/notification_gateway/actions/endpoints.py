"""POST /alerts/{id}/…: what the admin token may do with an incident."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from contracts.person_names import check_name
from contracts.query_values import MAX_WHOLE_NUMBER, WholeNumber
from contracts.text import TypedText
from notification_gateway.actions.service import IncidentActions
from notification_gateway.alerting.endpoints import AlertDetail, detail_of
from notification_gateway.incidents.model import Incident
from notification_gateway.storage import Storage
from servicekit.bearer import bearer_guard
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

MAX_COMMENT_CHARS = 4000
IncidentId = Annotated[int, WholeNumber(1), Path(description="The incident's id")]
MAX_NAME_CHARS = 128
Name = Annotated[
    str,
    TypedText(MAX_NAME_CHARS, min_chars=1),
    AfterValidator(check_name),
    Field(description="In one line", examples=["li.wei"]),
]
Comment = Annotated[str, TypedText(MAX_COMMENT_CHARS), Field(description="Goes into the timeline")]


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid")

    by: Annotated[Name, Field(description="Who does it, in one line")]


class NewAcknowledgement(_Action):
    """Who takes care of it."""

    comment: Comment = ""


class Acknowledgement(BaseModel):
    """Who takes care of an incident, and since when; the first one counts."""

    incident_id: Annotated[int, Field(description="Id of the incident", examples=[42])]
    acknowledged_by: Annotated[str | None, Field(description="Who acknowledged it first", examples=["li.wei"])]
    acknowledged_at: Annotated[datetime | None, Field(description="When that was", examples=["2026-11-24T03:10:00Z"])]


class Closing(_Action):
    """Who closes it."""

    false_alarm: Annotated[bool, Field(strict=True, description="There was no fault")] = False
    comment: Comment = ""


class Reopening(_Action):
    """Who opens it again."""

    comment: Comment = ""


class Assignment(_Action):
    """Who is to take care of it."""

    assignee: Name
    comment: Comment = ""


class NewComment(_Action):
    """A comment for the timeline."""

    text: Annotated[
        str,
        TypedText(MAX_COMMENT_CHARS, min_chars=1),
        Field(description="The comment", examples=["The disk is being replaced."]),
    ]


class Grouping(_Action):
    """The incident that this one stands under; null: none."""

    parent_id: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=MAX_WHOLE_NUMBER)] | None,
        Field(examples=[12], description="Id of the other incident; null: none"),
    ]
    comment: Comment = ""


def router(actions: IncidentActions, storage: Storage, token: SecretStr) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(prefix="/alerts/{incident_id}", tags=["alerts"])
    guard = bearer_guard(token)
    unknown = problem_responses(503, not_found="There is no such incident")

    def shown(incident: Incident) -> AlertDetail:
        return detail_of(storage, incident.id)

    @routes.post("/acknowledgement", dependencies=guard, responses=unknown)
    def post_acknowledgement(incident_id: IncidentId, new: NewAcknowledgement) -> Acknowledgement:
        """Say that somebody takes care of an incident: it is not escalated, and nobody is reminded of it."""
        incident = actions.acknowledge(incident_id, new.by, new.comment)
        return Acknowledgement(
            incident_id=incident.id,
            acknowledged_by=incident.acknowledged_by,
            acknowledged_at=incident.acknowledged_at,
        )

    @routes.post("/close", dependencies=guard, responses=unknown | problem_responses(conflict="The incident has ended"))
    def post_close(incident_id: IncidentId, closing: Closing) -> AlertDetail:
        """Close an open incident and those under it, as solved or as a false alarm."""
        return shown(actions.close(incident_id, closing.by, closing.comment, false_alarm=closing.false_alarm))

    @routes.post(
        "/reopen",
        dependencies=guard,
        responses=unknown | problem_responses(conflict="The incident is open, or the same fault has a newer one"),
    )
    def post_reopen(incident_id: IncidentId, reopening: Reopening) -> AlertDetail:
        """Open an ended incident again: it needs somebody, and people are reminded of it."""
        return shown(actions.reopen(incident_id, reopening.by, reopening.comment))

    @routes.post("/assignment", dependencies=guard, responses=unknown)
    def post_assignment(incident_id: IncidentId, new: Assignment) -> AlertDetail:
        """Say who is to take care of an incident."""
        return shown(actions.assign(incident_id, new.assignee, new.by, new.comment))

    @routes.post("/comments", dependencies=guard, responses=unknown)
    def post_comment(incident_id: IncidentId, new: NewComment) -> AlertDetail:
        """Add a comment to the timeline of an incident."""
        return shown(actions.comment(incident_id, new.text, new.by))

    @routes.post(
        "/parent",
        dependencies=guard,
        responses=unknown | problem_responses(conflict="The incident cannot stand under that one; `detail` says why"),
    )
    def post_parent(incident_id: IncidentId, grouping: Grouping) -> AlertDetail:
        """Put an incident under another one, or let it stand for itself."""
        return shown(actions.group(incident_id, grouping.parent_id, grouping.by, grouping.comment))

    return routes
