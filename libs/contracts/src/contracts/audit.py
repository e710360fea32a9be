"""The audit log of a service: who called a change, with which token, and why."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field


class AuditEntry(BaseModel):
    """One call that may change something. It is written before the call is carried out, and completed after it."""

    id: Annotated[int, Field(description="Number of the entry in its service", examples=[17])]
    at: Annotated[datetime, Field(description="When it was called", examples=["2026-11-24T03:10:00Z"])]
    service: Annotated[str, Field(description="Service that was called", examples=["model-registry"])]
    token: Annotated[
        str, Field(description="Name of the token; for one of the environment the variable's", examples=["ci-main"])
    ]
    action: Annotated[str, Field(description="Route", examples=["POST /models/{name}/deployments"])]
    target: Annotated[str, Field(description="Path of the call", examples=["/models/ranker/deployments"])]
    status: Annotated[
        int | None,
        Field(description="HTTP status of the answer; null: unknown; it still runs, or its service ended"),
    ]
    by: Annotated[str | None, Field(description="Person, as the call names one", examples=["li.wei"])]
    reason: Annotated[str | None, Field(description="Why, as the call says", examples=["nightly training"])]
    request_id: Annotated[str, Field(description="Id of the request", examples=["req_5f2b8c0d1e3a"])]


class AuditLogPage(BaseModel):
    """Entries of one service, newest first."""

    entries: Annotated[list[AuditEntry], Field(description="At most `limit` entries")]
