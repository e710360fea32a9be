"""What is kept of a summary besides its message: the same numbers, to be read by programs."""

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
    state: Annotated[str, Field(description="Of the newest incident, when the summary was made")]
    message: str
    url: Annotated[str, Field(description="Where the newest incident is shown; empty without GATEWAY_PUBLIC_URL")]


class Remainder(BaseModel):
    """What has no row of its own."""

    incidents: int = 0
    occurrences: int = 0


class SummaryContent(BaseModel):
    """`occurrences` is the sum of the rows and of what is more, and of the chart."""

    incidents: int
    occurrences: int
    silenced: Annotated[int, Field(description="Occurrences besides that a silence covered")]
    earlier: Annotated[int, Field(description="Occurrences seen before the period: they came late, or a rate counts")]
    rows: list[SummaryRow]
    more: Remainder
    by_time: Annotated[list[int], Field(description="Occurrences in equal parts of the time from since to period_end")]

    @classmethod
    def of(cls, counts: PeriodCounts, links: Links) -> "SummaryContent":
        """Return the content of a period."""
        rest = counts.faults[MAX_ROWS:]
        return cls(
            incidents=len(counts.told),
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
    """What the summary of the running period would say now."""

    kind: Alert
    channel: Channel
    period_start: datetime
    since: Annotated[datetime, Field(description="The period's start, or the end of the part that was sent before")]
    until: Annotated[datetime, Field(description="When this was counted")]
    period_end: Annotated[datetime, Field(description="When it is sent by itself")]
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
