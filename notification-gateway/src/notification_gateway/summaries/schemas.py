"""What GET /summaries answers, and `alertctl summary` reads."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from notification_gateway.messages.forms import plain
from notification_gateway.policy.model import Channel
from notification_gateway.summaries.content import RunningSummary, SummaryContent
from notification_gateway.summaries.queries import MadeSummary

Kind = Literal["hourly_summary", "daily_digest"]


class Summary(BaseModel):
    """A summary that was made; its numbers are null where a release without them made it."""

    id: Annotated[int, Field(description="Id of the summary", examples=[9])]
    kind: Annotated[str, Field(description="Which summary", examples=["hourly_summary"])]
    channel: Annotated[Channel, Field(description="Channel of the summary", examples=["email"])]
    period_start: Annotated[datetime, Field(description="When the period began", examples=["2026-11-24T12:00:00Z"])]
    since: Annotated[datetime, Field(description="The period's start, or the end of the part that was sent before")]
    period_end: Annotated[datetime, Field(description="Of a part that was sent before the end: when that was")]
    is_manual: Annotated[bool, Field(description="Whether it was sent before the end of its period")]
    title: Annotated[str, Field(description="Title of the message", examples=["1 incident, 12 occurrences"])]
    incidents: Annotated[int | None, Field(description="Incidents of the period", examples=[1])]
    occurrences: Annotated[int | None, Field(description="Reports of these", examples=[12])]
    silenced: Annotated[int | None, Field(description="Reports that a silence covered", examples=[0])]
    state: Annotated[
        str | None, Field(description="Of its message; null: it is on the dashboard alone", examples=["sent"])
    ]
    sent_at: Annotated[
        datetime | None, Field(description="When it was delivered; null until then", examples=["2026-11-24T13:00:04Z"])
    ]

    @classmethod
    def of(cls, made: MadeSummary) -> "Summary":
        """Return a summary as a list shows it."""
        return cls.model_validate(_fields(made))


class SummaryDetail(Summary):
    """A summary with all that it says."""

    content: Annotated[SummaryContent | None, Field(description="Its numbers; null where an older release made it")]
    text: Annotated[str, Field(description="The message as plain text")]

    @classmethod
    def of(cls, made: MadeSummary) -> "SummaryDetail":
        """Return a summary with all that it says."""
        return cls.model_validate(_fields(made) | {"content": made.content, "text": plain(made.notice)})


class SummaryPage(BaseModel):
    """Those that were made, newest first, and what the running ones would say; `next_before` asks for the next page."""

    running: Annotated[list[RunningSummary], Field(description="What those of the running periods would say now")]
    summaries: Annotated[list[Summary], Field(description="One page of sent summaries")]
    next_before: Annotated[int | None, Field(description="`before` of the next page; null: this is the last")]


class SendNow(BaseModel):
    """Which summary is sent before its time."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[Kind, Field(description="Which summary")] = "hourly_summary"


class SentNow(BaseModel):
    """What was sent, by each channel one; empty where there was nothing to say."""

    summaries: Annotated[list[Summary], Field(description="The summaries that were sent")]


def _fields(made: MadeSummary) -> dict[str, object]:
    content = made.content
    return {
        "id": made.id,
        "kind": made.kind,
        "channel": made.channel,
        "period_start": made.period_start,
        "since": made.since,
        "period_end": made.period_end,
        "is_manual": made.is_manual,
        "title": made.notice.title,
        "incidents": content and content.incidents,
        "occurrences": content and content.occurrences,
        "silenced": content and content.silenced,
        "state": made.state,
        "sent_at": made.sent_at,
    }
