"""`alertctl request`: what the gateway knows of a degraded or failed request."""

import argparse
import json
import re
from typing import Any

from contracts.command_line import OK, USAGE, CommandError, printable, say
from contracts.request_records import REQUEST_ID_PATTERN
from notification_gateway.actions.report import moment
from notification_gateway.gateway_client import GatewayClient, as_json
from notification_gateway.request_index.schemas import FoundRequest, FoundRequests

_HAS_FORM = re.compile(REQUEST_ID_PATTERN)


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    command = commands.add_parser(
        "request",
        help="show what is known of a degraded or failed request",
        description="Calls the gateway at GATEWAY_URL with ADMIN_TOKEN.",
    )
    command.set_defaults(run=_show)
    command.add_argument("request", type=_request_id, metavar="ID", help="its X-Request-ID")
    command.add_argument("--json", action="store_true", help="print the answer as JSON")


def _show(given: argparse.Namespace) -> int:
    with GatewayClient.of_environment() as gateway:
        found = gateway.call("GET", f"/requests/{given.request}", FoundRequests)
    say(as_json(found) if given.json else "\n".join(map(_describe, found.requests)))
    return OK


def _describe(request: FoundRequest) -> str:
    fields = {
        "reason": request.reason,
        "fallback level": request.level,
        "model version": request.model_version,
        "items": request.items,
        "points": ", ".join(point.monitoring_point for point in request.points),
        "incidents": ", ".join(f"#{each}" for each in request.incident_ids),
    }
    head = f"{moment(request.at)}  {request.service} ({request.environment})  {request.endpoint}  {request.status}"
    lines = [f"{head}  {request.duration_ms} ms", *(f"  {name}: {value}" for name, value in fields.items() if value)]
    return "\n".join(map(printable, lines))


def _request_id(text: str) -> str:
    if not _HAS_FORM.fullmatch(text):
        raise CommandError(USAGE, f"{json.dumps(text)}: a request id has 1 to 128 letters, digits, `.`, `_` and `-`")
    return text
