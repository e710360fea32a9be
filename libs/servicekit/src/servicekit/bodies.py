"""Request bodies: how long they say they are, how much of them is taken, and JSON within its bounds."""

import asyncio
from contextlib import suppress
from email.message import Message as MimeMessage
from typing import Any, Self

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from contracts import bounded_json

KIB, MIB = 2**10, 2**20
# What a route takes that names no limit of its own.
MAX_BODY_BYTES = MIB
# A page's form.
MAX_FORM_BYTES = 64 * KIB
# A body that sends nothing for so long is given up: it holds a connection, and on some routes one of few places.
MAX_STALL_SECONDS = 30.0
# What an answer leaves unread of a body is read and thrown away up to here; past it, the connection is closed.
MAX_DRAINED_BYTES = 64 * KIB
UNKNOWN_LENGTH = -1


def declared_length(scope: Scope) -> int:
    """Return how many bytes the request's body says it has: 0 for none, `UNKNOWN_LENGTH` for one sent in chunks."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return UNKNOWN_LENGTH
        if name == b"content-length":
            length = int(value) if value.isdigit() else UNKNOWN_LENGTH
    return length


class LongBody:
    """Knows whether a body was read to its end that is too long to be thrown away."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_unread = True

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> Self | None:
        """Return None for a body that is short, or none."""
        length = declared_length(scope)
        # Who waits for leave to send a body may send none, and another request in its place.
        is_long = not 0 <= length <= MAX_DRAINED_BYTES or (
            length > 0 and any(name == b"expect" for name, _ in scope["headers"])
        )
        return cls(receive) if is_long else None

    async def receive(self) -> Message:
        """Receive what comes next."""
        message = await self._receive()
        self.is_unread = bool(message.get("more_body", False))
        return message


def check_length(scope: Scope, max_bytes: int) -> int:
    """Return how long the body says it is; raises a 413 if that is too long, or a GET that doesn't say it."""
    length = declared_length(scope)
    if length > max_bytes or (length == UNKNOWN_LENGTH and scope["method"] == "GET"):
        raise too_large(max_bytes)
    return length


def too_large(max_bytes: int) -> HTTPException:
    """Return the 413 that names the limit."""
    return HTTPException(413, f"body: larger than {size_text(max_bytes)}, the most that this route takes.")


def size_text(size: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{size / MIB:g} MiB" if size >= MIB else f"{size / KIB:g} KiB"


def bounded(receive: Receive, max_bytes: int) -> Receive:
    """Return what receives a body up to so many bytes, and as long as it keeps coming."""
    taken = 0

    async def receive_bounded() -> Message:
        nonlocal taken
        try:
            async with asyncio.timeout(MAX_STALL_SECONDS):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, f"body: nothing came for {MAX_STALL_SECONDS:g} s.") from error
        taken += len(message.get("body", b""))
        if taken > max_bytes:
            raise too_large(max_bytes)
        return message

    return receive_bounded


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client of a request without a body has hung up; a body that comes nevertheless may not stall."""
    with suppress(HTTPException):
        while (await receive())["type"] != "http.disconnect":
            pass


class JsonRequest(Request):
    """A request whose body is read as JSON within its bounds, before the framework asks for it."""

    _value: Any = None

    async def read_json(self) -> None:
        """Read the body; raises `RequestValidationError` for what is no JSON that is taken."""
        body = await self.body()
        if not body:
            return
        if not _is_json(self.headers.get("content-type", "")):
            raise invalid("header.content-type", "send JSON, with `Content-Type: application/json`")
        try:
            self._value = bounded_json.loads(body)
        except bounded_json.JsonError as error:
            raise invalid("body", str(error)) from error

    async def json(self) -> Any:
        """Return what was read."""
        return self._value


def invalid(field: str, message: str) -> RequestValidationError:
    """Return the 422 that names one part of a request."""
    return RequestValidationError([{"type": "value_error", "loc": tuple(field.split(".", 1)), "msg": message}])


def _is_json(content_type: str) -> bool:
    if content_type == "application/json":
        return True
    parsed = MimeMessage()
    parsed["content-type"] = content_type
    subtype = parsed.get_content_subtype()
    return parsed.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))
