"""The way past ASGI for the questions that a service is asked most.

ASGI and the framework behind it cost more than a good answer does. A service that puts a `MatchFastRoute` on its
application's `state.match_fast_route` answers what it recognizes as soon as it is read; all else goes the usual way.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

# One of these, and a request is not plain: it has a body, or wants more than an answer.
_UNUSUAL = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})


class Reply(NamedTuple):
    """An answer; `headers` are whole lines, the ends of lines included."""

    status: int
    headers: bytes
    body: bytes


class FastRoute(NamedTuple):
    """What was recognized: the `path` of its route, as a crash and a trace name it, and who answers a request's id."""

    path: str
    answer: Callable[[str], Awaitable[Reply]]


# Takes the path of a GET, as it was sent, and its query string; None sends it on to the application. It raises nothing.
MatchFastRoute = Callable[[str, bytes], FastRoute | None]


def is_plain(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a GET with these headers, their names in lower case, asks for nothing but an answer."""
    unusual = [header for header in headers if header[0] in _UNUSUAL]
    return not unusual or unusual == [(b"content-length", b"0")]


def encode_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return headers as whole lines."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
