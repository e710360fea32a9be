"""Schemas of GET /summaries, which `alertctl summary` reads, too."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from notification_gateway.messages.forms import plain
from notification_gateway.policy.model import Channel
from notification_gateway.summaries.content import RunningSummary, SummaryContent
from notification_gateway.summaries.periods import Kind
from notification_gateway.summaries.queries import StoredSummary


class Summary(BaseModel):
    """A summary; its numbers are null if an older release stored it without them."""

    id: Annotated[int, Field(description="Id of the summary", examples=[9])]
    kind: Annotated[str, Field(description="Which summary", examples=["hourly_summary"])]
    channel: Annotated[Channel, Field(description="Channel of the summary", examples=["email"])]
    period_start: Annotated[datetime, Field(description="When the period began", examples=["2026-11-24T12:00:00Z"])]
    since: Annotated[datetime, Field(description="The period's start, or the end of the part that was sent before")]
    period_end: Annotated[datetime, Field(description="The period's end; if it was sent earlier, the time of that")]
    is_manual: Annotated[bool, Field(description="Whether it was sent before the end of its period")]
    title: Annotated[str, Field(description="Title of the message", examples=["1 incident, 12 occurrences"])]
    incidents: Annotated[int | None, Field(description="Incidents of the period", examples=[1])]
    occurrences: Annotated[int | None, Field(description="Occurrences of these incidents", examples=[12])]
    silenced: Annotated[int | None, Field(description="Occurrences that a silence covered", examples=[0])]
    state: Annotated[
        str | None, Field(description="State of its message; null: on the dashboard only", examples=["sent"])
    ]
    sent_at: Annotated[
        datetime | None, Field(description="When it was delivered; null until then", examples=["2026-11-24T13:00:04Z"])
    ]

    @classmethod
    def of(cls, stored: StoredSummary) -> "Summary":
        """Return a summary for a list."""
        return cls.model_validate(_fields(stored))


class SummaryDetail(Summary):
    """A summary with its content and text."""

    content: Annotated[SummaryContent | None, Field(description="Its numbers; null where an older release made it")]
    text: Annotated[str, Field(description="The message as plain text")]

    @classmethod
    def of(cls, stored: StoredSummary) -> "SummaryDetail":
        """Return a summary with its content and text."""
        return cls.model_validate(_fields(stored) | {"content": stored.content, "text": plain(stored.notice)})


class SummaryPage(BaseModel):
    """Past summaries, newest first, and previews of running ones; `before=next_before` returns the next page."""

    running: Annotated[list[RunningSummary], Field(description="What those of the running periods would say now")]
    summaries: Annotated[list[Summary], Field(description="One page of sent summaries")]
    next_before: Annotated[int | None, Field(description="`before` of the next page; null: this is the last")]


class SendNow(BaseModel):
    """The kind of the summary to send now."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[Kind, Field(description="Which summary")] = "hourly_summary"


class SentNow(BaseModel):
    """The summaries that were sent, one per channel; empty if the period has no entries."""

    summaries: Annotated[list[Summary], Field(description="The summaries that were sent")]


def _fields(stored: StoredSummary) -> dict[str, object]:
    content = stored.content
    return {
        "id": stored.id,
        "kind": stored.kind,
        "channel": stored.channel,
        "period_start": stored.period_start,
        "since": stored.since,
        "period_end": stored.period_end,
        "is_manual": stored.is_manual,
        "title": stored.notice.title,
        "incidents": content and content.incidents,
        "occurrences": content and content.occurrences,
        "silenced": content and content.silenced,
        "state": stored.state,
        "sent_at": stored.sent_at,
    }
