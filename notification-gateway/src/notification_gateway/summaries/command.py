"""`alertctl summary`: previews the running summaries, sends them, and lists past ones."""

import argparse
import json
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from contracts.command_line import OK, USAGE, CommandError, printable, say
from contracts.query_values import parse_whole_number
from notification_gateway.gateway_client import GatewayClient, as_json
from notification_gateway.summaries.periods import Kind

if TYPE_CHECKING:
    from notification_gateway.summaries.schemas import Summary, SummaryPage

_LISTED = "20"
_NOTHING = "no entries so far"


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    summary = commands.add_parser(
        "summary",
        help="preview the running summary (--preview), send it now (--send-now), or show past ones (list, or an id)",
        description="Calls the gateway at GATEWAY_URL; --send-now needs ADMIN_TOKEN.",
    )
    summary.set_defaults(run=_run)
    mode = summary.add_mutually_exclusive_group()
    mode.add_argument("--preview", action="store_true", help="print what would be sent now (the default)")
    mode.add_argument(
        "--send-now",
        action="store_true",
        help="send it now; the summary at the period's end holds only what comes later",
    )
    mode.add_argument("past", nargs="?", metavar="list|ID", help="list past summaries, or print one")
    summary.add_argument(
        "--kind",
        choices=get_args(Kind),
        help="only this kind (the default of --send-now: hourly_summary)",
    )
    summary.add_argument("--json", action="store_true", help="print the answer as JSON")


def _run(given: argparse.Namespace) -> int:
    with GatewayClient.of_environment() as gateway:
        body, text = _call(gateway, given)
    say(as_json(body) if given.json else printable(text))
    return OK


def _call(gateway: GatewayClient, given: argparse.Namespace) -> tuple[BaseModel, str]:
    # Imported here, because the content of summaries needs the gateway's packages.
    from notification_gateway.summaries.schemas import SentNow, SummaryDetail

    if given.send_now:
        sent = gateway.call("POST", "/summaries/send-now", SentNow, json={"kind": given.kind or "hourly_summary"})
        return sent, "\n".join(map(_line, sent.summaries)) or f"{_NOTHING}: nothing was sent"
    if given.past is None:
        page = _page(gateway, given.kind, "1")
        return page, "\n\n".join(f"{each.kind} by {each.channel}:\n{each.text}" for each in page.running) or _NOTHING
    if given.past == "list":
        page = _page(gateway, given.kind, _LISTED)
        return page, "\n".join(map(_line, page.summaries)) or "no summaries yet"
    try:
        summary_id = parse_whole_number(given.past)
    except ValueError as error:
        raise CommandError(USAGE, f"{json.dumps(given.past)}: write list, or the id of a summary") from error
    found = gateway.call("GET", f"/summaries/{summary_id}", SummaryDetail)
    return found, found.text


def _page(gateway: GatewayClient, kind: str | None, limit: str) -> "SummaryPage":
    from notification_gateway.summaries.schemas import SummaryPage

    parameters = {"limit": limit} | ({"kind": kind} if kind else {})
    return gateway.call("GET", "/summaries", SummaryPage, params=parameters)


def _line(summary: "Summary") -> str:
    ended = f"{summary.period_end:%Y-%m-%d %H:%M:%S %Z}"
    numbers = "" if summary.occurrences is None else f"{summary.incidents} incidents, {summary.occurrences} times"
    state = summary.state or "on the dashboard"
    return f"{summary.id}  {summary.kind}  {summary.channel}  {ended}  {numbers}  {state}"
