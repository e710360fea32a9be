"""The 422 answer to a batch in which some events were rejected and the others accepted."""

from collections.abc import Sequence
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field

import monitoring
from contracts.events import EventReceipt, FieldFault
from servicekit.problem_document import problem

# Limits the answer: a thousand events with five faults each stay within a few kilobytes per event.
MAX_MESSAGE_CHARS = 300


class EventError(BaseModel):
    """One field of one rejected event, and the reason."""

    index: int = Field(description="The event's place in the batch, from 0")
    field: Annotated[str, Field(description="The invalid field", examples=["ts"])]
    message: Annotated[str, Field(description="What is wrong with it", examples=["lies in the future"])]


class EventProblem(BaseModel):
    """The answer if some events were rejected. The others were accepted, and sending all of them again is harmless."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Entity",
                    "status": 422,
                    "detail": "1 of 3 events was rejected, the others were accepted. Event 1: ts: lies 7.9 h in the "
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
    detail: Annotated[str, Field(description="Number of rejected events, and the first fault")]
    instance: Annotated[str, Field(description="Path of the request")]
    request_id: Annotated[str, Field(description="Id of the request, as in `X-Request-ID`")]
    accepted: int = Field(description="New events, now durable")
    duplicates: int = Field(description="Events that were already accepted before")
    errors: list[EventError] = Field(description="The faults of each rejected event")


def event_problem(
    path: str, request_id: str, size: int, receipt: EventReceipt, refused: Sequence[tuple[int, Sequence[FieldFault]]]
) -> bytes:
    """Return the problem document about the `refused` events of a batch of `size`, by their positions in it."""
    errors = [
        EventError(
            index=index, field=monitoring.redacted(fault.field), message=_cut(monitoring.redacted(fault.message))
        )
        for index, faults in refused
        for fault in faults
    ]
    others = "" if len(refused) == size else ", the others were accepted"
    first = errors[0]
    detail = (
        f"{len(refused)} of {size} events {'was' if len(refused) == 1 else 'were'} rejected{others}. "
        f"Event {first.index}: {first.field}: {first.message}"
    )
    head = orjson.loads(problem(path, request_id, 422, detail))
    return orjson.dumps(EventProblem(**(head | receipt.model_dump() | {"errors": errors})).model_dump())


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"
