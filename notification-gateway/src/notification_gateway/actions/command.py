"""`alertctl list`, `show`, `ack`, `close`, `reopen`, `assign`, `comment`, `group`: incidents of a running gateway."""

import argparse
import json
import os
from typing import Any, get_args

from contracts.command_line import OK, USAGE, CommandError, printable, say
from contracts.query_values import parse_whole_number
from contracts.text import check_text
from notification_gateway.actions.report import alert_line, detail_text, moment
from notification_gateway.actions.schemas import Acknowledgement
from notification_gateway.alerting.schemas import AlertDetail, AlertPage
from notification_gateway.gateway_client import GatewayClient, as_json
from notification_gateway.policy.model import Priority

_NEEDS = "Calls the gateway at GATEWAY_URL with ADMIN_TOKEN."
_NO_PARENT = "none"


def add_to(commands: Any) -> None:
    """Add the commands to a parser's commands."""
    listing = commands.add_parser(
        "list", help="list incidents, newest first", description="Calls the gateway at GATEWAY_URL."
    )
    listing.set_defaults(run=_list)
    listing.add_argument("--state", choices=["open", "resolved"], help="only incidents in this state")
    listing.add_argument("--priority", choices=get_args(Priority), help="only this priority")
    listing.add_argument("--before", type=_number, metavar="ID", help="only incidents with a lower id")
    listing.add_argument("--json", action="store_true", help="print the answer as JSON")
    show = commands.add_parser(
        "show", help="show an incident with its timeline", description="Calls the gateway at GATEWAY_URL."
    )
    show.set_defaults(run=_show)
    show.add_argument("incident", type=_number, metavar="ID")
    show.add_argument("--json", action="store_true", help="print the answer as JSON")
    _action(commands, "ack", _acknowledge, "acknowledge an incident: you take care of it")
    close = _action(commands, "close", _close, "close an incident and those under it")
    close.add_argument("--false-alarm", action="store_true", help="it was a false alarm; also one that has ended")
    _action(commands, "reopen", _reopen, "reopen a closed incident")
    assign = _action(commands, "assign", _assign, "assign an incident to a person")
    assign.add_argument("assignee", type=_text, metavar="ASSIGNEE")
    comment = _action(commands, "comment", _comment, "add a comment to the timeline", with_comment=False)
    comment.add_argument("text", type=_text, metavar="TEXT")
    group = _action(commands, "group", _group, "put an incident under another one, or remove it from there")
    group.add_argument("parent", type=_parent, metavar=f"PARENT|{_NO_PARENT}", help="the other's id, or none")


def _action(commands: Any, name: str, run: Any, what: str, *, with_comment: bool = True) -> Any:
    command = commands.add_parser(name, help=what, description=_NEEDS)
    command.set_defaults(run=run)
    command.add_argument("incident", type=_number, metavar="ID")
    command.add_argument("--by", type=_text, metavar="NAME", help="who does it (USER)")
    if with_comment:
        command.add_argument("--comment", type=_text, default="", metavar="TEXT", help="comment for the timeline")
    return command


def _list(given: argparse.Namespace) -> int:
    wanted = {"state": given.state, "priority": given.priority, "before": given.before}
    parameters = {name: value for name, value in wanted.items() if value is not None}
    with GatewayClient.of_environment() as gateway:
        page = gateway.call("GET", "/alerts", AlertPage, params=parameters)
    if given.json:
        say(as_json(page))
        return OK
    lines = [alert_line(each) for each in page.alerts]
    if page.next_before is not None:
        lines.append(f"There are older ones: --before {page.next_before}")
    say("\n".join(lines) or "no incidents")
    return OK


def _show(given: argparse.Namespace) -> int:
    with GatewayClient.of_environment() as gateway:
        alert = gateway.call("GET", f"/alerts/{given.incident}", AlertDetail)
    say(as_json(alert) if given.json else detail_text(alert))
    return OK


def _acknowledge(given: argparse.Namespace) -> int:
    body = {"by": _by(given), "comment": given.comment}
    with GatewayClient.of_environment() as gateway:
        path = f"/alerts/{given.incident}/acknowledgement"
        found = gateway.call("POST", path, Acknowledgement, json=body)
    since = "" if found.acknowledged_at is None else f" since {moment(found.acknowledged_at)}"
    say(printable(f"#{found.incident_id}: {found.acknowledged_by} takes care of it{since}"))
    return OK


def _close(given: argparse.Namespace) -> int:
    return _change(given, "close", false_alarm=given.false_alarm, comment=given.comment)


def _reopen(given: argparse.Namespace) -> int:
    return _change(given, "reopen", comment=given.comment)


def _assign(given: argparse.Namespace) -> int:
    return _change(given, "assignment", assignee=given.assignee, comment=given.comment)


def _comment(given: argparse.Namespace) -> int:
    return _change(given, "comments", text=given.text)


def _group(given: argparse.Namespace) -> int:
    return _change(given, "parent", parent_id=given.parent, comment=given.comment)


def _change(given: argparse.Namespace, route: str, **body: Any) -> int:
    body["by"] = _by(given)
    with GatewayClient.of_environment() as gateway:
        alert = gateway.call("POST", f"/alerts/{given.incident}/{route}", AlertDetail, json=body)
    say(alert_line(alert))
    return OK


def _by(given: argparse.Namespace) -> str:
    by: str = _text(os.environ.get("USER", "")) if given.by is None else given.by
    if not by.strip():
        raise CommandError(USAGE, "--by: write who does it (USER is used without it)")
    return by


# argparse doesn't catch a `CommandError`, so the message is one line like the others.
def _number(text: str) -> int:
    try:
        number = parse_whole_number(text)
    except ValueError as error:
        raise CommandError(USAGE, f"{json.dumps(text)}: write the id of an incident") from error
    if number == 0:
        raise CommandError(USAGE, "0: the ids of incidents begin at 1")
    return number


def _parent(text: str) -> int | None:
    return None if text == _NO_PARENT else _number(text)


def _text(text: str) -> str:
    try:
        return check_text(text)
    except ValueError as error:
        raise CommandError(USAGE, f"{json.dumps(text)} {error}") from error
