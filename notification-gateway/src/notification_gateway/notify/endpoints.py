"""POST /notify."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Annotated
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from contracts.text import TypedText
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import NewNotification
from notification_gateway.outbox.notice import Line, Notice
from notification_gateway.storage import Storage
from servicekit.bearer import Access
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter


class NotifyRequest(BaseModel):
    """A message to send; one with the same `idempotency_key` is sent once."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[
        str, TypedText(200, min_chars=1), Field(description="First line of the message", examples=["Backup finished"])
    ]
    text: Annotated[
        str, TypedText(8000), Field(description="Text of the message", examples=["42 GB in 11 minutes"])
    ] = ""
    sender: Annotated[
        str, TypedText(64), Field(examples=["nightly-backup"], description="Who sends it, shown in the message")
    ] = ""
    channel: Annotated[
        str,
        TypedText(16, min_chars=1),
        Field(examples=["weixin", "email", "ops"], description="Channel of the gateway"),
    ] = "weixin"
    idempotency_key: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9._:-]{1,128}$",
            description="The same key sends one message",
            examples=["backup-2026-11-24"],
        ),
    ] = None


class NotifyReceipt(BaseModel):
    """The stored message, which will be sent; null: one with the same key was stored before."""

    notification_id: Annotated[
        int | None, Field(description="Id of the stored message; null: the key was known", examples=[318])
    ]


def router(
    storage: Storage,
    access: Access,
    clock: Callable[[], datetime],
    on_stored: Callable[[], None],
    channels: Collection[str] = ("weixin", "email"),
) -> ApiRouter:
    """Return the route."""
    routes = ApiRouter(tags=["notify"])

    @routes.post("/notify", status_code=202, dependencies=access.allow("signals"), responses=problem_responses(503))
    def post_notify(request: NotifyRequest) -> NotifyReceipt:
        """Send a message through a channel. It is stored before the answer."""
        if request.channel not in channels:
            raise ProblemError(422, f"channel: there is no {request.channel!r}; there are {', '.join(channels)}")
        now, key = clock(), request.idempotency_key or uuid4().hex
        notice = Notice(
            title=request.title,
            lines=(Line(label="来自 From", value=request.sender),) if request.sender else (),
            paragraphs=(request.text,) if request.text else (),
            reference=key[:32],
        )
        with storage.transaction() as connection:
            new = NewNotification(f"notify:{request.channel}:{key}", "notify", request.channel, notice, due=now)
            stored = outbox.enqueue(connection, new, now)
        on_stored()
        return NotifyReceipt(notification_id=stored)

    return routes
