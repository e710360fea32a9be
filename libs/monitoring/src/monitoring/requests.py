"""What an event says of the HTTP request it happened in."""

import re
from collections.abc import MutableMapping
from typing import Any

from monitoring.redaction import MARK, Redactor, cut

MAX_URL = 2_000
MAX_HEADER = 200
# Nothing here identifies a person or opens a door. All other headers stay here.
SENT_HEADERS = frozenset(
    {b"accept", b"content-length", b"content-type", b"host", b"traceparent", b"user-agent", b"x-request-id"}
)
# Users may be named by texts such as mail addresses. Events carry their numbers only.
_USER_PARAMETER = re.compile(r"(^|&)([^=&]*user[^=&]*)=(?!\d+(?:&|$))[^&]+", re.IGNORECASE)


# A request as ASGI describes it: its scope.
AsgiScope = MutableMapping[str, Any]


def route_of(request: AsgiScope) -> str | None:
    """Return the route as a template, without the converters of its parameters; None before routing."""
    route = request.get("route")
    return getattr(route, "path_format", None) or getattr(route, "path", None)


def describe_request(request: AsgiScope, redactor: Redactor) -> dict[str, Any]:
    """Return the event's `request`: method, URL without a query, query string, and the headers of the allow-list."""
    headers = {
        name.decode("latin-1"): cut(redactor.text(value.decode("latin-1")), MAX_HEADER)
        for name, value in request["headers"]
        if name in SENT_HEADERS
    }
    url = f"{request.get('scheme', 'http')}://{headers.get('host', '')}{_path(request)}"
    described = {"method": request["method"], "url": cut(redactor.text(url), MAX_URL), "headers": headers}
    if query_string := request.get("query_string"):
        query = _USER_PARAMETER.sub(rf"\1\2={MARK}", query_string.decode("latin-1"))
        described["query_string"] = cut(redactor.text(query), MAX_URL)
    return described


def _path(request: AsgiScope) -> str:
    """Return the path with the texts of users replaced by the names of their parameters."""
    path: str = request["path"]
    route = route_of(request)
    if route is None or "user" not in route:
        return path
    templates, parts = route.split("/"), path.split("/")
    if len(templates) != len(parts):
        return route
    return "/".join(
        template if template.startswith("{") and "user" in template and not part.isdecimal() else part
        for template, part in zip(templates, parts, strict=True)
    )
