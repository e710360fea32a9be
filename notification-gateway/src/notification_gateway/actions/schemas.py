"""The bodies of actions on an incident, and the answer to an acknowledgement, which `alertctl` reads, too."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts.person_names import check_name
from contracts.query_values import MAX_WHOLE_NUMBER
from contracts.text import TypedText

MAX_COMMENT_CHARS = 4000
MAX_NAME_CHARS = 128
Name = Annotated[
    str,
    TypedText(MAX_NAME_CHARS, min_chars=1),
    AfterValidator(check_name),
    Field(description="In one line", examples=["li.wei"]),
]
Comment = Annotated[str, TypedText(MAX_COMMENT_CHARS), Field(description="Comment for the timeline")]


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid")

    by: Annotated[Name, Field(description="Who does it, in one line")]


class NewAcknowledgement(_Action):
    """The body of an acknowledgement."""

    comment: Comment = ""


class Acknowledgement(BaseModel):
    """Who takes care of an incident, and since when; only the first acknowledgement counts."""

    incident_id: Annotated[int, Field(description="Id of the incident", examples=[42])]
    acknowledged_by: Annotated[str | None, Field(description="Who acknowledged it first", examples=["li.wei"])]
    acknowledged_at: Annotated[datetime | None, Field(description="When that was", examples=["2026-11-24T03:10:00Z"])]


class Closing(_Action):
    """The body of a close."""

    false_alarm: Annotated[bool, Field(strict=True, description="There was no fault")] = False
    comment: Comment = ""


class Reopening(_Action):
    """The body of a reopen."""

    comment: Comment = ""


class Assignment(_Action):
    """The body of an assignment."""

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
    """The incident to put this one under; null removes it from its parent."""

    parent_id: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=MAX_WHOLE_NUMBER)] | None,
        Field(examples=[12], description="Id of the other incident; null: none"),
    ]
    comment: Comment = ""
