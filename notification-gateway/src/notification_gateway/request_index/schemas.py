"""The answer of `GET /requests/{request_id}`, which `alertctl request` reads, too."""

from typing import Annotated

from pydantic import BaseModel, Field

from contracts.request_records import RequestRecord


class FoundRequest(RequestRecord):
    """A request of the index, and the incidents that were open for what it reported."""

    incident_ids: Annotated[list[int], Field(description="Its incidents, newest first", examples=[[7]])]


class FoundRequests(BaseModel):
    """The answer of `GET /requests/{request_id}`."""

    requests: Annotated[
        list[FoundRequest], Field(description="Newest first; each service records its own, and an id may be used again")
    ]
