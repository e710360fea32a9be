"""Behaviour events: what callers post to `/events`, and how they travel through the Redis Stream."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

from contracts.ids import DatasetId, UserId
from contracts.moments import EventMoment

EventType = Literal["exposure", "click", "view", "favorite", "purchase"]
MAX_EVENTS_PER_BATCH = 1000
# A sender mends one field after the other; a body may hold a hundred thousand unknown ones.
MAX_FAULTS_PER_EVENT = 5
MAX_NAME_CHARS = 100


class InteractionType(IntEnum):
    """The one-byte code of an event type in packed histories; a higher code is a stronger interest."""

    EXPOSURE = 0
    CLICK = 1
    VIEW = 2
    FAVORITE = 3
    PURCHASE = 4

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the code of an `EventType`; `KeyError` for any other name."""
        return cls[name.upper()]


# How much an interaction says about interest: in histories, and in what is hot.
INTERACTION_WEIGHT: Mapping[InteractionType, float] = MappingProxyType(
    {
        InteractionType.EXPOSURE: 0.0,
        InteractionType.CLICK: 1.0,
        InteractionType.VIEW: 1.0,
        InteractionType.FAVORITE: 2.0,
        InteractionType.PURCHASE: 3.0,
    }
)


class BehaviorEvent(BaseModel):
    """One thing a user did, or was shown; the same `event_id` counts once."""

    model_config = ConfigDict(frozen=True)

    event_id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern=r"^[A-Za-z0-9._:-]+$",
            description="Idempotency key, made by the caller",
            examples=["web-7f3a-1"],
        ),
    ]
    type: Annotated[EventType, Field(description="What the user did")]
    user_id: Annotated[UserId, Field(description="The user, as a number or a text", examples=[7])]
    dataset_id: Annotated[DatasetId, Field(description="The dataset, as a number or a text", examples=[13196])]
    request_id: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9._-]{1,128}$",
            description="`request_id` of the answer that showed the dataset",
            examples=["req_5f2b8c0d1e3a"],
        ),
    ] = None
    position: Annotated[
        int | None,
        Field(ge=0, le=10_000, strict=True, description="Place of the dataset in that answer, from 0", examples=[0]),
    ] = None
    experiment_variant: Annotated[
        str | None, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="As in the answer: the side of an experiment")
    ] = None
    ts: Annotated[
        EventMoment,
        Field(
            description="When it happened: ISO 8601 with an offset, from 2000 to five minutes ahead",
            examples=["2026-11-24T12:00:00Z"],
        ),
    ]

    def to_stream(self) -> dict[str, str]:
        """Return the Redis Stream entry: one field `event` with the JSON body."""
        return {"event": self.model_dump_json(exclude_none=True)}


class Exposure(BaseModel):
    """All that one answer showed, first to last: one Redis Stream entry, of one field `exposures` with the JSON body.

    What stands for a dataset is at its place in each list. `channels` joins the names of those that proposed it by `+`.
    The release before sends neither scores nor channels, nor which model has answered.
    """

    model_config = ConfigDict(frozen=True)

    exposure_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,56}$")]
    user_id: UserId | None = None
    dataset_ids: Annotated[list[DatasetId], Field(max_length=MAX_EVENTS_PER_BATCH)]
    request_id: Annotated[str, Field(max_length=128)]
    endpoint: Annotated[str | None, Field(max_length=32)] = None
    model_version: Annotated[str | None, Field(max_length=64)] = None
    model_variant: Annotated[str | None, Field(max_length=16)] = None
    experiment_variant: Annotated[str | None, Field(max_length=64)] = None
    fallback_level: Annotated[int | None, Field(ge=0, le=9)] = None
    scores: Annotated[list[float], Field(max_length=MAX_EVENTS_PER_BATCH)] = []
    channels: Annotated[list[str], Field(max_length=MAX_EVENTS_PER_BATCH)] = []
    # None: the answer was not drawn.
    propensity: Annotated[list[float] | None, Field(max_length=MAX_EVENTS_PER_BATCH)] = None
    ts: EventMoment


class _Receipt(BaseModel):
    received_at: AwareDatetime | None = None


def receipt_of(fields: Mapping[bytes, bytes]) -> datetime | None:
    """Return when recommender-api received the event of an entry that has waited in its journal, None for others.

    Raises `pydantic.ValidationError` on a foreign one.
    """
    body = fields.get(b"event", b"")
    return _Receipt.model_validate_json(body).received_at if b'"received_at"' in body else None


def read_entry(fields: Mapping[bytes, bytes]) -> BehaviorEvent | Exposure:
    """Read a Redis Stream entry; raises `KeyError` or `pydantic.ValidationError` on a foreign one."""
    if b"exposures" in fields:
        return Exposure.model_validate_json(fields[b"exposures"])
    return BehaviorEvent.model_validate_json(fields[b"event"])


class PostedEvent(BehaviorEvent):
    """An event as a caller posts it: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldFault(NamedTuple):
    """What is wrong with one field of an event; `reason` is one of few words, for a metric."""

    field: str
    message: str
    reason: str


@dataclass(frozen=True)
class RefusedEvent:
    """An element of a batch that is no event, and what is wrong with it."""

    faults: tuple[FieldFault, ...]


def _read_posted(value: object) -> PostedEvent | RefusedEvent:
    try:
        return PostedEvent.model_validate(value)
    except ValidationError as error:
        return RefusedEvent(tuple(_fault(found) for found in error.errors(include_url=False)[:MAX_FAULTS_PER_EVENT]))


def _fault(found: ErrorDetails) -> FieldFault:
    if not found["loc"]:
        return FieldFault("event", "an event is a JSON object", "not_an_object")
    name = str(found["loc"][0])
    if name in PostedEvent.model_fields:
        return FieldFault(name, found["msg"].removeprefix("Value error, "), name)
    return FieldFault(name[:MAX_NAME_CHARS], found["msg"], "unknown_field")


# Why an event is refused, as `FieldFault.reason` says it.
REFUSAL_REASONS = (*PostedEvent.model_fields, "unknown_field", "not_an_object")


class EventBatch(BaseModel):
    """The body of `POST /events`. Each event is checked separately: an invalid one is rejected alone."""

    model_config = ConfigDict(extra="forbid")

    events: Annotated[
        list[Annotated[PostedEvent | RefusedEvent, PlainValidator(_read_posted, json_schema_input_type=PostedEvent)]],
        Field(min_length=1, max_length=MAX_EVENTS_PER_BATCH, description="The events, each checked by itself"),
    ]


class EventReceipt(BaseModel):
    """The 202 answer of `POST /events`: both counts together are the size of the batch."""

    accepted: Annotated[int, Field(description="New events, stored durably", examples=[2])]
    duplicates: Annotated[int, Field(description="Events that were accepted before", examples=[0])]
