"""The alert signal that every process sends to the notification gateway, body for body as `POST /signals` takes it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.moments import ClampedMoment
from contracts.text import LabelText, MachineText

Level = Literal["fatal", "error", "warning", "info", "debug"]
MAX_SIGNALS_PER_BATCH = 1000
MAX_MESSAGE_CHARS = 8192
MAX_FINGERPRINT_PARTS = 16
MAX_FINGERPRINT_PART_CHARS = 512
MAX_TAG_NAME_CHARS = 128
MAX_TAG_CHARS = 1024


class AlertSignal(BaseModel):
    """One fact worth alerting on: a monitoring point fired, or its incident is over."""

    # Senders are other parts of the stack, of another release perhaps: fields that this one doesn't know are ignored.
    model_config = ConfigDict(frozen=True)

    signal_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$", description="Idempotency key")]
    event_id: Annotated[str | None, Field(pattern="^[0-9a-f]{32}$", description="Event in the collector")] = None
    kind: Literal["fired", "recovered"]
    monitoring_point: Annotated[str, LabelText(128, min_chars=1)]
    fingerprint: Annotated[
        list[Annotated[str, LabelText(MAX_FINGERPRINT_PART_CHARS)]],
        Field(min_length=1, max_length=MAX_FINGERPRINT_PARTS),
    ]
    level: Level
    category: Annotated[str, LabelText(64)]
    service: Annotated[str, LabelText(64, min_chars=1)]
    environment: Annotated[str, LabelText(64)]
    message: Annotated[str, MachineText(MAX_MESSAGE_CHARS)]
    occurrences: Annotated[int, Field(ge=1, le=2**40)] = 1
    first_seen: ClampedMoment
    last_seen: ClampedMoment
    request_ids: Annotated[list[Annotated[str, LabelText(128)]], Field(max_length=10)] = []
    tags: dict[Annotated[str, LabelText(MAX_TAG_NAME_CHARS)], Annotated[str, LabelText(MAX_TAG_CHARS)]] = {}


class SignalBatch(BaseModel):
    """The body of `POST /signals`."""

    model_config = ConfigDict(extra="forbid")

    signals: Annotated[list[AlertSignal], Field(min_length=1, max_length=MAX_SIGNALS_PER_BATCH)]


class SignalReceipt(BaseModel):
    """The 202 answer of `POST /signals`: both counts together are the size of the batch."""

    accepted: int
    duplicates: int
