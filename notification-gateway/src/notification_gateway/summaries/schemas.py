"""Schemas of GET /summaries, which `alertctl summary` reads, too."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from notification_gateway.messages.forms import plain
from notification_gateway.policy.model import Channel
from notification_gateway.summaries.content import RunningSummary, SummaryContent
from notification_gateway.summaries.queries import StoredSummary

Kind = Literal["hourly_summary", "daily_digest"]


class Summary(BaseModel):
    """A summary; its numbers are null if an older release stored it without them."""

    id: int
    kind: str
    channel: Channel
    period_start: datetime
    since: Annotated[datetime, Field(description="The period's start, or the end of the part that was sent before")]
    period_end: Annotated[datetime, Field(description="The period's end; if it was sent earlier, the time of that")]
    is_manual: Annotated[bool, Field(description="Whether it was sent before the end of its period")]
    title: str
    incidents: int | None
    occurrences: int | None
    silenced: int | None
    state: Annotated[str | None, Field(description="State of its message; null: on the dashboard only")]
    sent_at: datetime | None

    @classmethod
    def of(cls, stored: StoredSummary) -> "Summary":
        """Return a summary for a list."""
        return cls.model_validate(_fields(stored))


class SummaryDetail(Summary):
    """A summary with its content and text."""

    content: SummaryContent | None
    text: Annotated[str, Field(description="The message as plain text")]

    @classmethod
    def of(cls, stored: StoredSummary) -> "SummaryDetail":
        """Return a summary with its content and text."""
        return cls.model_validate(_fields(stored) | {"content": stored.content, "text": plain(stored.notice)})


class SummaryPage(BaseModel):
    """Past summaries, newest first, and previews of running ones; `before=next_before` returns the next page."""

    running: list[RunningSummary]
    summaries: list[Summary]
    next_before: int | None


class SendNow(BaseModel):
    """The kind of the summary to send now."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = "hourly_summary"


class SentNow(BaseModel):
    """The summaries that were sent, one per channel; empty if the period has no entries."""

    summaries: list[Summary]


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
