"""Degraded and failed requests, body for body as the gateway's `POST /requests` takes them for its index."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError

from contracts.moments import ClampedMoment
from contracts.signals import MAX_FINGERPRINT_PART_CHARS, MAX_FINGERPRINT_PARTS
from contracts.text import LabelText

MAX_RECORDS_PER_BATCH = 1000
# Monitoring points that one request may name.
MAX_POINTS = 4
REQUEST_ID_PATTERN = r"^[A-Za-z0-9._-]{1,128}$"


class FiredPoint(BaseModel):
    """A monitoring point that a request reported; the fingerprint leads to its incident."""

    model_config = ConfigDict(frozen=True)

    monitoring_point: Annotated[
        str, LabelText(128, min_chars=1), Field(description="Id in the catalogue", examples=["redis.connection_failed"])
    ]
    fingerprint: Annotated[
        list[Annotated[str, LabelText(MAX_FINGERPRINT_PART_CHARS)]],
        Field(
            min_length=1,
            max_length=MAX_FINGERPRINT_PARTS,
            description="That of its alert signal",
            examples=[["redis", "connection_failed"]],
        ),
    ]


class RequestRecord(BaseModel):
    """A request that was degraded or failed: no user, no items, no path."""

    # As in signals: a receiver ignores fields that it doesn't know.
    model_config = ConfigDict(frozen=True)

    request_id: Annotated[
        str, Field(pattern=REQUEST_ID_PATTERN, description="Its X-Request-ID", examples=["req_5f2b8c0d1e3a"])
    ]
    at: Annotated[ClampedMoment, Field(description="When it was answered", examples=["2026-11-24T12:00:00Z"])]
    service: Annotated[
        str, LabelText(64, min_chars=1), Field(description="Service that answered", examples=["recommender-api"])
    ]
    environment: Annotated[str, LabelText(64), Field(description="Environment of the service", examples=["production"])]
    endpoint: Annotated[
        str, LabelText(128), Field(description="Its route, without values", examples=["/similar/{dataset_id}"])
    ]
    status: Annotated[int, Field(ge=100, le=599, description="HTTP status", examples=[200])]
    level: Annotated[
        int | None, Field(ge=0, le=3, description="Fallback level; null: no recommendation", examples=[1])
    ] = None
    reason: Annotated[
        str | None, LabelText(64), Field(description="Why it is degraded or failed", examples=["redis_unavailable"])
    ] = None
    model_version: Annotated[str | None, LabelText(64), Field(description="Version that answered", examples=["12"])] = (
        None
    )
    duration_ms: Annotated[float, Field(ge=0, allow_inf_nan=False, description="Time to the answer", examples=[12.5])]
    items: Annotated[int | None, Field(ge=0, lt=2**31, description="Datasets in the answer", examples=[10])] = None
    points: Annotated[
        list[FiredPoint], Field(max_length=MAX_POINTS, description="Monitoring points that it reported")
    ] = []


class RequestBatch(BaseModel):
    """The body of `POST /requests`. Each record is validated by itself, with `read_record`."""

    requests: Annotated[
        list[SkipValidation[RequestRecord]],
        Field(max_length=MAX_RECORDS_PER_BATCH, description="The records, each checked by itself"),
    ]
    service: Annotated[str, LabelText(64, min_chars=1), Field(description="Sender", examples=["recommender-api"])]
    left_out: Annotated[
        int, Field(ge=0, le=2**40, description="Requests that the sender has left out since its last batch")
    ] = 0


class RequestReceipt(BaseModel):
    """The 202 answer of `POST /requests`."""

    accepted: Annotated[int, Field(ge=0, description="Records that are stored now, known ones included", examples=[1])]
    rejected: Annotated[
        int, Field(ge=0, description="Records that could not be read, or are older than the index", examples=[0])
    ]


def read_record(value: object) -> RequestRecord | None:
    """Return the record that a JSON value holds, None if it holds none."""
    try:
        return RequestRecord.model_validate(value)
    except ValidationError:
        return None
