"""The alert signal that every process sends to the notification gateway, body for body as `POST /signals` takes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError

from contracts.moments import ClampedMoment
from contracts.text import LabelText, MachineText, escape_text

Level = Literal["fatal", "error", "warning", "info", "debug"]
MAX_SIGNALS_PER_BATCH = 1000
MAX_SIGNAL_ID_CHARS = 64
MAX_MESSAGE_CHARS = 8192
MAX_FINGERPRINT_PARTS = 16
MAX_FINGERPRINT_PART_CHARS = 512
MAX_TAG_NAME_CHARS = 128
MAX_TAG_CHARS = 1024


class AlertSignal(BaseModel):
    """One fact worth alerting on: a monitoring point fired, or its incident is over."""

    # Senders are other parts of the stack, of another release perhaps: fields that this one doesn't know are ignored.
    model_config = ConfigDict(frozen=True)

    signal_id: Annotated[
        str,
        Field(min_length=1, max_length=MAX_SIGNAL_ID_CHARS, pattern=r"^[!-~]+$", description="Idempotency key"),
    ]
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
    """The body of `POST /signals`. Each signal is validated by itself, with `read_signal`."""

    signals: Annotated[list[SkipValidation[AlertSignal]], Field(min_length=1, max_length=MAX_SIGNALS_PER_BATCH)]


class RejectedSignal(BaseModel):
    """A signal that was not taken, and never will be as it is."""

    signal_id: Annotated[str | None, Field(description="null: it has none that is a text")]
    reason: Annotated[str, Field(examples=["level: Input should be 'fatal', 'error', 'warning', 'info' or 'debug'"])]


class SignalReceipt(BaseModel):
    """The 202 answer of `POST /signals`: accepted, duplicates and rejected together are the size of the batch."""

    accepted: Annotated[int, Field(ge=0)]
    duplicates: Annotated[int, Field(ge=0)]
    # A gateway of an older release takes the whole batch or nothing, and says nothing of it.
    rejected: list[RejectedSignal] = []


@dataclass(frozen=True, slots=True)
class UnreadableSignal:
    """What is wrong with a signal: the field, and the problem in words. No value of the signal is repeated."""

    signal_id: str | None
    field: str
    problem: str

    @property
    def reason(self) -> str:
        """Field and problem in one line."""
        return f"{self.field}: {self.problem}" if self.field else self.problem


def read_signal(value: object) -> AlertSignal | UnreadableSignal:
    """Return the signal that a JSON value holds, or what is wrong with it."""
    try:
        return AlertSignal.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return UnreadableSignal(_id_of(value), str(first["loc"][0]) if first["loc"] else "", first["msg"])


def _id_of(value: object) -> str | None:
    signal_id = value.get("signal_id") if isinstance(value, Mapping) else None
    return escape_text(signal_id, MAX_SIGNAL_ID_CHARS) if isinstance(signal_id, str) else None
