"""The alert signal that every process sends to the notification gateway, body for body as `POST /signals` takes it."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Level = Literal["fatal", "error", "warning", "info", "debug"]
MAX_SIGNALS_PER_BATCH = 1000


class AlertSignal(BaseModel):
    """One fact worth alerting on: a monitoring point fired, or its incident is over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signal_id: Annotated[str, Field(min_length=1, max_length=64, description="Idempotency key")]
    event_id: Annotated[str | None, Field(pattern="^[0-9a-f]{32}$", description="Event in the collector")] = None
    kind: Literal["fired", "recovered"]
    monitoring_point: Annotated[str, Field(min_length=1, max_length=128)]
    fingerprint: Annotated[list[str], Field(min_length=1, max_length=16)]
    level: Level
    category: Annotated[str, Field(max_length=64)]
    service: Annotated[str, Field(min_length=1, max_length=64)]
    environment: Annotated[str, Field(max_length=64)]
    message: Annotated[str, Field(max_length=8192)]
    occurrences: Annotated[int, Field(ge=1, le=2**40)] = 1
    first_seen: AwareDatetime
    last_seen: AwareDatetime
    request_ids: Annotated[list[str], Field(max_length=10)] = []
    tags: dict[str, str] = {}


class SignalBatch(BaseModel):
    """The body of `POST /signals`."""

    model_config = ConfigDict(extra="forbid")

    signals: Annotated[list[AlertSignal], Field(min_length=1, max_length=MAX_SIGNALS_PER_BATCH)]


class SignalReceipt(BaseModel):
    """The 202 answer of `POST /signals`: both counts together are the size of the batch."""

    accepted: int
    duplicates: int
