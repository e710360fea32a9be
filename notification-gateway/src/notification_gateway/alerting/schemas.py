"""What the API says of an incident, which `alertctl` reads, too."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from notification_gateway.incidents.states import Resolution
from notification_gateway.outbox.model import NotificationState
from notification_gateway.policy.model import Priority


class AlertNotification(BaseModel):
    """One message about an incident. `suppressed`: not sent (environment verify); `grouped`: part of another."""

    kind: Annotated[str, Field(description="Occasion of the message", examples=["opened"])]
    channel: Annotated[str, Field(description="Channel of the message", examples=["weixin"])]
    state: Annotated[NotificationState, Field(description="State of the delivery", examples=["sent"])]
    attempts: Annotated[int, Field(description="Tries so far", examples=[1])]
    created_at: Annotated[datetime, Field(description="When it was queued", examples=["2026-11-24T03:10:00Z"])]
    sent_at: Annotated[
        datetime | None, Field(description="When it was delivered; null until then", examples=["2026-11-24T03:10:00Z"])
    ]
    detail: Annotated[str, Field(description="The last answer of the channel's service")]


class Alert(BaseModel):
    """An incident: what happened, how often, and who was notified."""

    id: Annotated[int, Field(description="Id of the incident", examples=[42])]
    state: Annotated[Literal["open", "resolved"], Field(description="Whether the fault goes on")]
    resolution: Annotated[Resolution | None, Field(description="How it ended")]
    closed_by: Annotated[
        str | None, Field(description="The person who closed it, or the other service that reported the recovery")
    ]
    priority: Annotated[Priority, Field(description="By the policy: P0 at once, P1 hourly, P2 daily")]
    rule: Annotated[str | None, Field(description="The policy's rule; null: the default of its level")]
    reason: Annotated[str, Field(description="Why it has this priority", examples=["rule Critical Failures"])]
    monitoring_point: Annotated[
        str, Field(description="Id in the catalogue of monitoring points", examples=["model.deployment_failed"])
    ]
    fingerprint: Annotated[
        list[str], Field(description="What makes two signals the same fault", examples=[["model", "deployment_failed"]])
    ]
    level: Annotated[str, Field(description="Level of the worst signal", examples=["error"])]
    category: Annotated[str, Field(description="Category of the point", examples=["model"])]
    service: Annotated[str, Field(description="Service that reported it", examples=["model-registry"])]
    environment: Annotated[str, Field(description="Environment of the reporter", examples=["production"])]
    message: Annotated[
        str,
        Field(
            description="Message of the latest signal",
            examples=["deploy of version 5 rejected: checksum of ranker.txt differs"],
        ),
    ]
    occurrences: Annotated[int, Field(description="How often the fault was reported", examples=[3])]
    first_seen: Annotated[
        datetime,
        Field(description="Time of the first report, by the reporter's clock", examples=["2026-11-24T03:10:00Z"]),
    ]
    last_seen: Annotated[
        datetime,
        Field(description="Time of the latest report, by the reporter's clock", examples=["2026-11-24T03:10:00Z"]),
    ]
    opened_at: Annotated[
        datetime, Field(description="When the gateway opened the incident", examples=["2026-11-24T03:10:00Z"])
    ]
    resolved_at: Annotated[datetime | None, Field(description="When the incident ended; null while it is open")]
    request_ids: Annotated[
        list[str],
        Field(
            description="Requests that met the fault; the collector finds their events", examples=[["req_5f2b8c0d1e3a"]]
        ),
    ]
    tags: Annotated[
        dict[str, str],
        Field(description="Tags of the latest signal", examples=[{"model_name": "ranker", "stage": "checksum"}]),
    ]
    event_id: Annotated[str | None, Field(description="The latest event in the collector")]
    acknowledged_at: Annotated[datetime | None, Field(description="When it was acknowledged first")]
    acknowledged_by: Annotated[str | None, Field(description="Who takes care of it")]
    escalated_at: Annotated[datetime | None, Field(description="When it was escalated because no one acknowledged it")]
    assignee: Annotated[str | None, Field(description="Who is to take care of it")]
    parent_id: Annotated[int | None, Field(description="The incident that explains it, or that a person put it under")]
    grouped_by: Annotated[str | None, Field(description="Who put it there; null: the catalogue's `explains`")]
    episode: Annotated[str, Field(description="The run, deployment or start that fired it last")]
    last_notified_at: Annotated[datetime | None, Field(description="When people were notified last")]
    silence_id: Annotated[int | None, Field(description="The silence that covers it")]
    notifications: Annotated[list[AlertNotification], Field(description="Messages about the incident, oldest first")]


class TimelineEntry(BaseModel):
    """One change of an incident. An empty `actor` means the gateway itself."""

    at: Annotated[datetime, Field(description="When", examples=["2026-11-24T03:10:00Z"])]
    kind: Annotated[str, Field(examples=["acknowledged"], description="What happened")]
    actor: Annotated[str, Field(description="Who did it; empty: the gateway", examples=["li.wei"])]
    detail: Annotated[str, Field(description="More about it", examples=[""])]


class StackEntry(BaseModel):
    """One change of the stack in the hour before the incident."""

    at: Annotated[datetime, Field(description="When", examples=["2026-11-24T03:10:00Z"])]
    kind: Annotated[str, Field(description="deployment, run or policy", examples=["deployment"])]
    subject: Annotated[str, Field(examples=["ranker 12"], description="What changed")]
    detail: Annotated[str, Field(description="More about it", examples=["deployed as primary by ci@main"])]


class AlertDetail(Alert):
    """An incident with its timeline, its children, and the changes of the stack before it."""

    timeline: Annotated[list[TimelineEntry], Field(description="What happened to the incident, oldest first")]
    children: Annotated[list[int], Field(description="Ids of the incidents under this one")]
    changes_before: Annotated[list[StackEntry], Field(description="What changed in the stack in the hour before")]


class AlertPage(BaseModel):
    """Incidents, newest first. Pass `next_before` as `before` to get the next page."""

    alerts: Annotated[list[Alert], Field(description="One page of incidents")]
    next_before: Annotated[int | None, Field(description="`before` of the next page; null: this is the last")]
