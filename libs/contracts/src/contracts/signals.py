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
        Field(
            min_length=1,
            max_length=MAX_SIGNAL_ID_CHARS,
            pattern=r"^[!-~]+$",
            description="Idempotency key",
            examples=["4f1c2d0e9b7a4c55a1e0d8f3b6c7a902"],
        ),
    ]
    event_id: Annotated[
        str | None,
        Field(
            pattern="^[0-9a-f]{32}$",
            description="Event in the collector",
            examples=["0123456789abcdef0123456789abcdef"],
        ),
    ] = None
    kind: Annotated[Literal["fired", "recovered"], Field(description="The point fired, or its fault has ended")]
    monitoring_point: Annotated[
        str,
        LabelText(128, min_chars=1),
        Field(description="Id in the catalogue of monitoring points", examples=["redis.connection_failed"]),
    ]
    fingerprint: Annotated[
        list[Annotated[str, LabelText(MAX_FINGERPRINT_PART_CHARS)]],
        Field(
            min_length=1,
            max_length=MAX_FINGERPRINT_PARTS,
            description="What makes two signals the same fault",
            examples=[["redis", "connection_failed"]],
        ),
    ]
    level: Annotated[Level, Field(description="How bad it is", examples=["warning"])]
    category: Annotated[
        str, LabelText(64), Field(description="Category of the point, for rules of the policy", examples=["redis"])
    ]
    service: Annotated[
        str, LabelText(64, min_chars=1), Field(description="Service that reports", examples=["recommender-api"])
    ]
    environment: Annotated[
        str, LabelText(64), Field(description="Environment of the reporter", examples=["production"])
    ]
    message: Annotated[
        str,
        MachineText(MAX_MESSAGE_CHARS),
        Field(description="What happened, in a line", examples=["Redis refuses connections"]),
    ]
    occurrences: Annotated[
        int, Field(ge=1, le=2**40, description="Reports that this signal stands for", examples=[1])
    ] = 1
    first_seen: Annotated[
        ClampedMoment, Field(description="Time of the first of them", examples=["2026-11-24T12:00:00Z"])
    ]
    last_seen: Annotated[
        ClampedMoment, Field(description="Time of the last of them", examples=["2026-11-24T12:00:00Z"])
    ]
    request_ids: Annotated[
        list[Annotated[str, LabelText(128)]],
        Field(max_length=10, description="Requests that met the fault", examples=[["req_5f2b8c0d1e3a"]]),
    ] = []
    tags: Annotated[
        dict[Annotated[str, LabelText(MAX_TAG_NAME_CHARS)], Annotated[str, LabelText(MAX_TAG_CHARS)]],
        Field(description="Tags of the event", examples=[{"error_type": "ConnectionError"}]),
    ] = {}


class SignalBatch(BaseModel):
    """The body of `POST /signals`. Each signal is validated by itself, with `read_signal`."""

    signals: Annotated[
        list[SkipValidation[AlertSignal]],
        Field(min_length=1, max_length=MAX_SIGNALS_PER_BATCH, description="The signals, each checked by itself"),
    ]


class RejectedSignal(BaseModel):
    """A signal that was not taken, and never will be as it is."""

    signal_id: Annotated[str | None, Field(description="null: it has none that is a text")]
    reason: Annotated[
        str,
        Field(
            examples=["level: Input should be 'fatal', 'error', 'warning', 'info' or 'debug'"],
            description="The field and what is wrong with it",
        ),
    ]


class SignalReceipt(BaseModel):
    """The 202 answer of `POST /signals`: accepted, duplicates and rejected together are the size of the batch."""

    accepted: Annotated[int, Field(ge=0, description="New signals, stored durably", examples=[1])]
    duplicates: Annotated[int, Field(ge=0, description="Signals that were accepted before", examples=[0])]
    # A gateway of an older release takes the whole batch or nothing, and says nothing of it.
    rejected: Annotated[
        list[RejectedSignal], Field(description="Signals that are invalid; do not send them again as they are")
    ] = []


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
