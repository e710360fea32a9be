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

    id: int
    kind: str
    channel: Channel
    period_start: datetime
    since: Annotated[datetime, Field(description="The period's start, or the end of the part that was sent before")]
    period_end: Annotated[datetime, Field(description="Of a part that was sent before the end: when that was")]
    is_manual: Annotated[bool, Field(description="Whether it was sent before the end of its period")]
    title: str
    incidents: int | None
    occurrences: int | None
    silenced: int | None
    state: Annotated[str | None, Field(description="Of its message; null: it is on the dashboard alone")]
    sent_at: datetime | None

    @classmethod
    def of(cls, made: MadeSummary) -> "Summary":
        """Return a summary as a list shows it."""
        return cls.model_validate(_fields(made))


class SummaryDetail(Summary):
    """A summary with all that it says."""

    content: SummaryContent | None
    text: Annotated[str, Field(description="The message as plain text")]

    @classmethod
    def of(cls, made: MadeSummary) -> "SummaryDetail":
        """Return a summary with all that it says."""
        return cls.model_validate(_fields(made) | {"content": made.content, "text": plain(made.notice)})


class SummaryPage(BaseModel):
    """Those that were made, newest first, and what the running ones would say; `next_before` asks for the next page."""

    running: list[RunningSummary]
    summaries: list[Summary]
    next_before: int | None


class SendNow(BaseModel):
    """Which summary is sent before its time."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = "hourly_summary"


class SentNow(BaseModel):
    """What was sent, by each channel one; empty where there was nothing to say."""

    summaries: list[Summary]


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
