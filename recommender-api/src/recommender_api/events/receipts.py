"""The 422 of a batch of which some events were refused, and the others taken."""

from collections.abc import Sequence
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field

import monitoring
from contracts.events import EventReceipt, FieldFault
from servicekit.problem_document import problem

# A thousand events with five faults each, in few kilobytes for each.
MAX_MESSAGE_CHARS = 300


class EventError(BaseModel):
    """One field of one event that was refused, and why."""

    index: int = Field(description="The event's place in the batch, from 0")
    field: Annotated[str, Field(description="The invalid field", examples=["ts"])]
    message: Annotated[str, Field(description="What is wrong with it", examples=["lies in the future"])]


class EventProblem(BaseModel):
    """The answer where some events were refused: the others are taken, and to send all of them again is harmless."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Entity",
                    "status": 422,
                    "detail": "1 of 3 events was refused, the others were taken. Event 1: ts: lies 7.9 h in the "
                    "future; is it a local time? add its offset, as +08:00",
                    "instance": "/events",
                    "request_id": "req_5f2b8c0d1e3a",
                    "accepted": 2,
                    "duplicates": 0,
                    "errors": [
                        {
                            "index": 1,
                            "field": "ts",
                            "message": "lies 7.9 h in the future; is it a local time? add its offset, as +08:00",
                        }
                    ],
                }
            ]
        }
    )

    type: Annotated[str, Field(description="Always `about:blank`")] = "about:blank"
    title: Annotated[str, Field(description="The status in words")]
    status: Annotated[int, Field(description="The HTTP status")]
    detail: Annotated[str, Field(description="How many were refused, and the first mistake")]
    instance: Annotated[str, Field(description="Path of the request")]
    request_id: Annotated[str, Field(description="Id of the request, as in `X-Request-ID`")]
    accepted: int = Field(description="Events that are new, and durable now")
    duplicates: int = Field(description="Events that were taken before")
    errors: list[EventError] = Field(description="What is wrong with each event that was refused")


def event_problem(
    path: str, request_id: str, size: int, receipt: EventReceipt, refused: Sequence[tuple[int, Sequence[FieldFault]]]
) -> bytes:
    """Return the problem document about the `refused` events of a batch of `size`, by their places in it."""
    errors = [
        EventError(
            index=index, field=monitoring.redacted(fault.field), message=_cut(monitoring.redacted(fault.message))
        )
        for index, faults in refused
        for fault in faults
    ]
    others = "" if len(refused) == size else ", the others were taken"
    first = errors[0]
    detail = (
        f"{len(refused)} of {size} events {'was' if len(refused) == 1 else 'were'} refused{others}. "
        f"Event {first.index}: {first.field}: {first.message}"
    )
    head = orjson.loads(problem(path, request_id, 422, detail))
    return orjson.dumps(EventProblem(**(head | receipt.model_dump() | {"errors": errors})).model_dump())


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"
