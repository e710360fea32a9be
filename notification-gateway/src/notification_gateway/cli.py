"""`alertctl`: the alert policy, the gateway's incidents, summaries and channels from a terminal or a CI job.

Exit codes: 0 success; 1 the policy is invalid, the event has another priority than expected, the action was rejected,
or the test message was not delivered; 2 wrong usage, token or address, or an unreadable file; 3 the gateway or its
database failed or can't be reached; 70 a bug in this program; 130 interrupted.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from contracts.command_line import OK, USAGE, CommandError, complain, printable, run_command, say
from contracts.signals import Level
from notification_gateway.actions import command as incidents
from notification_gateway.apprise_urls import parse_urls
from notification_gateway.gateway_client import DEFAULT_URL
from notification_gateway.ping.client import ping_channel
from notification_gateway.policy.channel_names import allowed_channels
from notification_gateway.policy.evaluation import Decision, decide
from notification_gateway.policy.loading import PolicyError, parse_policy, read_policy
from notification_gateway.policy.matching import Subject, mismatch
from notification_gateway.policy.model import Condition, Policy
from notification_gateway.replay import command as replay
from notification_gateway.request_index import command as request_index
from notification_gateway.summaries import command as summary

FAILED = 1
# Far above any real count; Python doesn't print integers with more than 4,300 digits.
_MAX_OCCURRENCES = 10**9
_MAX_EVENT_BYTES = 2**20


class SampleEvent(BaseModel):
    """An alert signal, or an event as the collector shows it; missing fields come from its tags."""

    fingerprint: Annotated[list[str], Field(min_length=1)]
    level: Level = "error"
    category: str
    service: str
    occurrences: Annotated[int, Field(ge=1, le=_MAX_OCCURRENCES)] = 1

    @model_validator(mode="before")
    @classmethod
    def _fill_from_tags(cls, event: Any) -> Any:
        if not isinstance(event, dict) or not isinstance(event.get("fingerprint"), list) or not event["fingerprint"]:
            raise ValueError("an event needs its fingerprint, a list of texts")
        # Imported here, because the catalogue comes with all of monitoring.
        from notification_gateway.policy.categories import category_of

        tags = _tags(event.get("tags"))
        point = event.get("monitoring_point") or tags.get("monitoring_point")
        category = category_of(point if isinstance(point, str) else None, event["fingerprint"])
        return {"category": category, "service": tags.get("service", "unknown"), **event}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run_command("alertctl", lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    given = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = given.run
    try:
        return run(given)
    except PolicyError as error:
        for problem in error.problems:
            complain(f"{error.source}:{problem.line}", printable(problem.message))
        return FAILED


def _check(given: argparse.Namespace) -> int:
    policy = _policy(given.policy, given.channels)
    say(f"{given.policy}: valid, {len(policy.rules)} rules")
    return OK


def _test(given: argparse.Namespace) -> int:
    policy = _policy(given.policy, given.channels)
    event = _event(given.event)
    subject = Subject(tuple(event.fingerprint), event.level, event.category, event.service)
    counted = given.earlier + event.occurrences
    decision = decide(policy, subject, lambda _condition, _rate: counted)
    explanation = list(_explain(policy, subject, decision, counted))
    if given.json:
        actions = [action.model_dump() for action in decision.actions]
        body = {"priority": decision.priority, "rule": decision.rule, "reason": decision.reason, "actions": actions}
        say(json.dumps(body | {"explanation": explanation}, indent=2))
    else:
        ways = ", ".join(f"{action.alert} by {action.channel}" for action in decision.actions) or "no notification"
        say(printable("\n".join([f"{decision.priority}: {ways}", decision.reason, "", *explanation])))
    if given.expect not in (None, decision.priority):
        complain("alertctl", f"expected {given.expect}, got {decision.priority}")
        return FAILED
    return OK


def _ping(given: argparse.Namespace) -> int:
    result = ping_channel(given.channel, given.url, given.token)
    detail = f": {printable(result.detail, given.token)}" if result.detail else ""
    if not result.delivered:
        complain("alertctl", f"{result.channel}: not delivered{detail}")
        return FAILED
    say(f"{result.channel}: delivered in {result.seconds:.1f} s{detail}")
    return OK


def _explain(policy: Policy, subject: Subject, decision: Decision, counted: int) -> Iterator[str]:
    """Yield for each condition, up to the one that decided, why it matched or not."""
    for rule in policy.rules:
        for number, condition in enumerate(rule.conditions, start=1):
            yield f"{rule.name}, condition {number}: {_verdict(condition, subject, counted)}"
        if rule.name == decision.rule:
            return
    yield f"no rule matches: the default of level {subject.level} applies"


def _verdict(condition: Condition, subject: Subject, counted: int) -> str:
    different = mismatch(condition, subject)
    if different is not None:
        wanted, found = getattr(condition, different), getattr(subject, different)
        if different == "fingerprint":
            wanted, found = list(wanted), list(found)
        return f"no, {different} is {found!r} and not {wanted!r}"
    if condition.rate is not None and counted <= condition.rate.threshold:
        return f"no, {counted} is not {condition.rate} (--earlier sets how many came before)"
    return "yes"


def _policy(path: Path, channels: str) -> Policy:
    try:
        content = read_policy(path)
    except PolicyError as error:
        raise CommandError(USAGE, str(error)) from error
    return parse_policy(content, str(path), _allowed_channels(channels))


def _allowed_channels(given: str) -> tuple[str, ...]:
    """Return the channels that a policy may name: those of --channels, or else those of APPRISE_URLS."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names and (urls := os.environ.get("APPRISE_URLS")):
        try:
            names = list(parse_urls(urls))
        except ValueError as error:
            raise CommandError(USAGE, f"APPRISE_URLS: {error}") from error
    return allowed_channels(names)


def _event(path: Path) -> SampleEvent:
    try:
        with path.open("rb") as file:
            return SampleEvent.model_validate_json(file.read(_MAX_EVENT_BYTES))
    except OSError as error:
        raise CommandError(USAGE, f"{path}: {error.strerror}") from error
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in found["loc"])
        message = f"{where}: {found['msg']}" if where else found["msg"]
        raise CommandError(USAGE, printable(f"{path}: not an event: {message}")) from error


def _tags(tags: object) -> dict[str, object]:
    """Return an event's tags, given as an object or as a list of pairs."""
    if isinstance(tags, dict):
        return tags
    pairs = [pair for pair in tags or () if isinstance(pair, list) and len(pair) == 2] if isinstance(tags, list) else []
    return {name: value for name, value in pairs if isinstance(name, str)}


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_MAX_OCCURRENCES)):
        raise argparse.ArgumentTypeError("a count is a whole number, 0 or more")
    return int(text)


def _add_channels(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--channels",
        default="",
        metavar="NAMES",
        help="more channels than weixin and email, separated by commas (APPRISE_URLS)",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="alertctl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser("check", help="check a policy file; prints each problem with its line")
    check.set_defaults(run=_check)
    check.add_argument("policy", type=Path, metavar="FILE")
    _add_channels(check)
    test = commands.add_parser("test", help="show which rule matches an event, and why")
    test.set_defaults(run=_test)
    test.add_argument("event", type=Path, metavar="EVENT.json", help="an alert signal, or an event of the collector")
    default_policy = Path(os.environ.get("ALERT_POLICY", "deploy/alerts.yaml"))
    test.add_argument("--policy", type=Path, default=default_policy, metavar="FILE", help="ALERT_POLICY")
    _add_channels(test)
    test.add_argument("--earlier", type=_count, default=0, metavar="N", help="occurrences already in a rate's window")
    test.add_argument("--expect", choices=["P0", "P1", "P2", "none"], help="exit with 1 if the priority is another one")
    test.add_argument("--json", action="store_true", help="print the decision as JSON")
    incidents.add_to(commands)
    request_index.add_to(commands)
    summary.add_to(commands)
    ping = commands.add_parser("ping", help="send a test message through a channel of the running gateway")
    ping.set_defaults(run=_ping)
    ping.add_argument("channel", metavar="CHANNEL", help="weixin, email, or a name of APPRISE_URLS")
    ping.add_argument("--url", default=os.environ.get("GATEWAY_URL") or DEFAULT_URL, help="GATEWAY_URL")
    ping.add_argument("--token", default=os.environ.get("ADMIN_TOKEN", ""), help="ADMIN_TOKEN")
    replay.add_parser(commands, default_policy)
    return parser


if __name__ == "__main__":
    sys.exit(main())
