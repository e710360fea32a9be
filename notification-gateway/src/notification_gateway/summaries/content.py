"""The stored content of a summary: the same numbers as in its message, for programs."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from notification_gateway.messages.composer import MAX_ROWS
from notification_gateway.messages.links import Links
from notification_gateway.messages.summary import Fault, PeriodCounts
from notification_gateway.policy.model import Alert, Channel


class SummaryRow(BaseModel):
    """A fault: all incidents of the period with the same environment, service and fingerprint."""

    incident_id: Annotated[int, Field(description="The newest of the incidents")]
    incidents: int
    occurrences: int
    priority: str
    monitoring_point: str
    fingerprint: list[str]
    service: str
    environment: str
    state: Annotated[str, Field(description="State of the newest incident at the time of the summary")]
    message: str
    url: Annotated[str, Field(description="Page of the newest incident; empty without GATEWAY_PUBLIC_URL")]


class Remainder(BaseModel):
    """The sums of the faults without a row."""

    incidents: int = 0
    occurrences: int = 0


class SummaryContent(BaseModel):
    """`occurrences` equals the sum of `rows` and `more`, and the sum of `by_time`."""

    incidents: int
    occurrences: int
    silenced: Annotated[int, Field(description="Occurrences that a silence covered; not part of `occurrences`")]
    earlier: Annotated[int, Field(description="Occurrences from before the period: late signals, or added by a rate")]
    rows: list[SummaryRow]
    more: Remainder
    by_time: Annotated[list[int], Field(description="Occurrences in equal parts of the time from since to period_end")]

    @classmethod
    def of(cls, counts: PeriodCounts, links: Links) -> "SummaryContent":
        """Return the content of a period."""
        rest = counts.faults[MAX_ROWS:]
        return cls(
            incidents=len(counts.unsilenced),
            occurrences=counts.occurrences,
            silenced=counts.silenced,
            earlier=counts.earlier,
            rows=[_row(fault, links) for fault in counts.faults[:MAX_ROWS]],
            more=Remainder(
                incidents=sum(len(fault.entries) for fault in rest), occurrences=sum(each.occurrences for each in rest)
            ),
            by_time=counts.by_time,
        )


class RunningSummary(BaseModel):
    """A preview of the running period's summary."""

    kind: Alert
    channel: Channel
    period_start: datetime
    since: Annotated[datetime, Field(description="The period's start, or the end of the part that was sent before")]
    until: Annotated[datetime, Field(description="When this was counted")]
    period_end: Annotated[datetime, Field(description="When it is sent automatically")]
    title: str
    content: SummaryContent
    text: Annotated[str, Field(description="The message as plain text")]


def _row(fault: Fault, links: Links) -> SummaryRow:
    newest = fault.newest
    return SummaryRow(
        incident_id=newest.id,
        incidents=len(fault.entries),
        occurrences=fault.occurrences,
        priority=fault.priority,
        monitoring_point=newest.monitoring_point,
        fingerprint=newest.fingerprint,
        service=newest.service,
        environment=newest.environment,
        state=newest.state,
        message=newest.message,
        url=links.incident(newest.id),
    )
