"""What an event says of the HTTP request it happened in."""

import re
from collections.abc import MutableMapping, Sequence
from typing import Any, NamedTuple

from monitoring.redaction import MARK, Redactor, cut

MAX_URL = 2_000
MAX_HEADER = 200
# Nothing here identifies a person or opens a door. All other headers stay here.
SENT_HEADERS = frozenset(
    {b"accept", b"content-length", b"content-type", b"host", b"traceparent", b"user-agent", b"x-request-id"}
)
# Users may be named by texts such as mail addresses. Events carry their numbers only.
_USER_PARAMETER = re.compile(r"(^|&)([^=&]*user[^=&]*)=(?!\d+(?:&|$))[^&]+", re.IGNORECASE)


class RequestSnapshot(NamedTuple):
    """A request as its ASGI scope describes it. It holds no reference to the scope, which holds the whole request."""

    method: str
    scheme: str
    path: str
    route: str | None
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]


def snapshot_request(scope: MutableMapping[str, Any]) -> RequestSnapshot:
    """Return a snapshot of an ASGI scope; its route is known from routing on."""
    route = scope.get("route")
    return RequestSnapshot(
        scope["method"],
        scope.get("scheme", "http"),
        scope["path"],
        getattr(route, "path_format", None) or getattr(route, "path", None),
        scope.get("query_string", b""),
        scope["headers"],
    )


def describe_request(request: RequestSnapshot, redactor: Redactor) -> dict[str, Any]:
    """Return the event's `request`: method, URL without a query, query string, and the headers of the allow-list."""
    headers = {
        name.decode("latin-1"): cut(redactor.text(value.decode("latin-1")), MAX_HEADER)
        for name, value in request.headers
        if name in SENT_HEADERS
    }
    url = f"{request.scheme}://{headers.get('host', '')}{_path(request)}"
    described = {"method": request.method, "url": cut(redactor.text(url), MAX_URL), "headers": headers}
    if request.query:
        query = _USER_PARAMETER.sub(rf"\1\2={MARK}", request.query.decode("latin-1"))
        described["query_string"] = cut(redactor.text(query), MAX_URL)
    return described


def _path(request: RequestSnapshot) -> str:
    """Return the path with the texts of users replaced by the names of their parameters."""
    if request.route is None or "user" not in request.route:
        return request.path
    templates, parts = request.route.split("/"), request.path.split("/")
    if len(templates) != len(parts):
        return request.route
    return "/".join(
        template if template.startswith("{") and "user" in template and not part.isdecimal() else part
        for template, part in zip(templates, parts, strict=True)
    )
