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

    incident_id: Annotated[int, Field(description="The newest of the incidents", examples=[42])]
    incidents: Annotated[int, Field(description="Incidents of this fault", examples=[1])]
    occurrences: Annotated[int, Field(description="Occurrences of this fault", examples=[12])]
    priority: Annotated[str, Field(description="Highest priority of them", examples=["P1"])]
    monitoring_point: Annotated[
        str, Field(description="Id in the catalogue of monitoring points", examples=["redis.connection_failed"])
    ]
    fingerprint: Annotated[
        list[str], Field(description="Fingerprint of the fault", examples=[["redis", "connection_failed"]])
    ]
    service: Annotated[str, Field(description="Service that reported it", examples=["recommender-api"])]
    environment: Annotated[str, Field(description="Environment of the reporter", examples=["production"])]
    state: Annotated[
        str, Field(description="State of the newest incident at the time of the summary", examples=["open"])
    ]
    message: Annotated[str, Field(description="Message of the newest incident", examples=["Redis refuses connections"])]
    url: Annotated[
        str, Field(description="Page of the newest incident; empty without GATEWAY_PUBLIC_URL", examples=[""])
    ]


class Remainder(BaseModel):
    """The sums of the faults without a row."""

    incidents: Annotated[int, Field(description="Incidents without a row", examples=[0])] = 0
    occurrences: Annotated[int, Field(description="Reports of these", examples=[0])] = 0


class SummaryContent(BaseModel):
    """`occurrences` equals the sum of `rows` and `more`, and the sum of `by_time`."""

    incidents: Annotated[int, Field(description="Incidents of the period", examples=[1])]
    occurrences: Annotated[int, Field(description="Occurrences of these incidents", examples=[12])]
    silenced: Annotated[
        int, Field(description="Occurrences that a silence covered; not part of `occurrences`", examples=[0])
    ]
    earlier: Annotated[
        int, Field(description="Occurrences from before the period: late signals, or added by a rate", examples=[0])
    ]
    rows: Annotated[list[SummaryRow], Field(description="Faults, the most important first")]
    more: Annotated[Remainder, Field(description="What has no row")]
    by_time: Annotated[
        list[int],
        Field(description="Occurrences in equal parts of the time from since to period_end", examples=[[0, 12, 0]]),
    ]

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

    kind: Annotated[Alert, Field(description="Which summary", examples=["hourly_summary"])]
    channel: Annotated[Channel, Field(description="Channel of the summary", examples=["email"])]
    period_start: Annotated[datetime, Field(description="When the period began", examples=["2026-11-24T12:00:00Z"])]
    since: Annotated[datetime, Field(description="The period's start, or the end of the part that was sent before")]
    until: Annotated[datetime, Field(description="When this was counted")]
    period_end: Annotated[datetime, Field(description="When it is sent automatically")]
    title: Annotated[str, Field(description="Title of the message", examples=["1 incident, 12 occurrences"])]
    content: Annotated[SummaryContent, Field(description="Its numbers")]
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
