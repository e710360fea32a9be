"""`alertctl`: the alert policy from a terminal or a CI job.

Exit codes: 0 the policy is valid, the event goes where it should; 1 it isn't, or doesn't; 2 wrong call or file.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from contracts.signals import Level
from notification_gateway.policy.evaluation import Decision, decide
from notification_gateway.policy.loading import PolicyError, load_policy
from notification_gateway.policy.matching import Subject, mismatch
from notification_gateway.policy.model import Condition, Policy

OK, FAILED, USAGE = 0, 1, 2


class UsageError(Exception):
    """The call or a file is wrong; the message says how."""


class SampleEvent(BaseModel):
    """An alert signal, or an event as the collector shows it: what is missing is read from the tags."""

    fingerprint: Annotated[list[str], Field(min_length=1)]
    level: Level = "error"
    category: str
    service: str
    occurrences: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="before")
    @classmethod
    def _read_tags(cls, event: Any) -> Any:
        if not isinstance(event, dict) or not isinstance(event.get("fingerprint"), list) or not event["fingerprint"]:
            raise ValueError("an event needs its fingerprint, a list of texts")
        tags = event.get("tags")
        known = tags if isinstance(tags, dict) else dict(tags or [])
        point = str(known.get("monitoring_point") or event["fingerprint"][0])
        return {"category": point.partition(".")[0], "service": known.get("service", "unknown"), **event}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = given.run
    try:
        return run(given)
    except UsageError as error:
        sys.stderr.write(f"alertctl: {error}\n")
        return USAGE
    except PolicyError as error:
        _complain(given.policy, error)
        return FAILED


def _check(given: argparse.Namespace) -> int:
    policy = _policy(given.policy)
    sys.stdout.write(f"{given.policy}: valid, {len(policy.rules)} rules\n")
    return OK


def _test(given: argparse.Namespace) -> int:
    policy = _policy(given.policy)
    event = _event(given.event)
    subject = Subject(tuple(event.fingerprint), event.level, event.category, event.service)
    counted = given.earlier + event.occurrences
    decision = decide(policy, subject, lambda _condition, _rate: counted)
    explanation = list(_explain(policy, subject, decision, counted))
    if given.json:
        actions = [action.model_dump() for action in decision.actions]
        body = {"priority": decision.priority, "rule": decision.rule, "reason": decision.reason, "actions": actions}
        sys.stdout.write(json.dumps(body | {"explanation": explanation}, indent=2) + "\n")
    else:
        ways = ", ".join(f"{action.alert} by {action.channel}" for action in decision.actions) or "nobody is told"
        sys.stdout.write("\n".join([f"{decision.priority}: {ways}", decision.reason, "", *explanation]) + "\n")
    if given.expect not in (None, decision.priority):
        sys.stderr.write(f"alertctl: expected {given.expect}, got {decision.priority}\n")
        return FAILED
    return OK


def _explain(policy: Policy, subject: Subject, decision: Decision, counted: int) -> Iterator[str]:
    """Say of each condition, up to the one that decided, why it did or didn't match."""
    for rule in policy.rules:
        for number, condition in enumerate(rule.conditions, start=1):
            yield f"{rule.name}, condition {number}: {_verdict(condition, subject, counted)}"
        if rule.name == decision.rule:
            return
    yield f"no rule matches: the default of level {subject.level} counts"


def _verdict(condition: Condition, subject: Subject, counted: int) -> str:
    different = mismatch(condition, subject)
    if different is not None:
        wanted, found = getattr(condition, different), getattr(subject, different)
        if different == "fingerprint":
            wanted, found = list(wanted), list(found)
        return f"no, {different} is {found!r} and not {wanted!r}"
    if condition.rate is not None and counted <= condition.rate.threshold:
        return f"no, {counted} is not {condition.rate} (--earlier says how many came before)"
    return "yes"


def _policy(path: Path) -> Policy:
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    return load_policy(path)


def _event(path: Path) -> SampleEvent:
    try:
        return SampleEvent.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in found["loc"])
        message = f"{where}: {found['msg']}" if where else found["msg"]
        raise UsageError(f"{path}: not an event: {message}") from error


def _complain(path: Path, error: PolicyError) -> None:
    for problem in error.problems:
        sys.stderr.write(f"{path}:{problem.line}: {problem.message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="alertctl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser("check", help="say whether a policy file is valid; what is wrong, with its line")
    check.set_defaults(run=_check)
    check.add_argument("policy", type=Path, metavar="FILE")
    test = commands.add_parser("test", help="say which rule takes an event, and why")
    test.set_defaults(run=_test)
    test.add_argument("event", type=Path, metavar="EVENT.json", help="an alert signal, or an event of the collector")
    shipped = Path(os.environ.get("ALERT_POLICY", "deploy/alerts.yaml"))
    test.add_argument("--policy", type=Path, default=shipped, metavar="FILE", help="ALERT_POLICY")
    test.add_argument("--earlier", type=int, default=0, metavar="N", help="occurrences already in a rate's window")
    test.add_argument("--expect", choices=["P0", "P1", "P2", "none"], help="exit with 1 when it is another priority")
    test.add_argument("--json", action="store_true", help="print the decision as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
