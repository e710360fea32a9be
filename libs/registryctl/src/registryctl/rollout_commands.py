"""`registryctl rollout`: roll a version out step by step, look at it, and decide how it goes on."""

import argparse
import re
from datetime import UTC, datetime
from typing import Any, get_args

from pydantic import ValidationError

from contracts.command_line import REFUSED, USAGE, CommandError
from contracts.model_versions import MODEL_VERSION
from contracts.registry.client import RegistryClient
from contracts.rollouts import (
    MAX_EVERY_SECONDS,
    MIN_EVERY_SECONDS,
    ArmRate,
    RolloutAction,
    RolloutAnswer,
    RolloutRecord,
    RolloutRequest,
)

_STATUS = "status"
_ACTIONS: tuple[RolloutAction, ...] = get_args(RolloutAction)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_OPEN = ("running", "holding")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    command.add_argument(
        "what",
        type=_version_or_word,
        metavar="VERSION|status|continue|wait|stop",
        help="the version to roll out; or what to do with the present rollout",
    )
    command.add_argument("--steps", type=_steps, default=[5, 25, 50, 100], help="shares in percent: 5,25,50,100")
    command.add_argument("--every", type=_period, default=1800.0, help="least time of a step: 90s, 30m, 2h, 1d")
    command.add_argument("--reason", help="reason for the history")
    command.add_argument(
        "--expected-active", metavar="VERSION", help="change nothing unless this version is in service"
    )


def run(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Carry out the command; return the answer and what is said."""
    if given.what == _STATUS:
        return _status(registry, given.model)
    if given.what in _ACTIONS:
        found = next((each for each in registry.rollouts() if each.state in _OPEN), None)
        if found is None:
            raise CommandError(REFUSED, f"no rollout of {given.model} is under way")
        wanted = RolloutAnswer(action=given.what, reason=given.reason)
        return _described(registry.answer_rollout(found.rollout_id, wanted))
    return _described(registry.start_rollout(_request(given)))


def describe(rollout: RolloutRecord) -> str:
    """Return a rollout as lines: the state with its reason, then both curves."""
    what = f"rollout {rollout.rollout_id} of version {rollout.version} beside {rollout.primary_version}"
    place = f"step {rollout.step + 1} of {len(rollout.steps)}, {rollout.percent} % of the users"
    lines = [f"{what}: {rollout.state}, {place} since {_moment(rollout.step_since)}", f"  {rollout.reason}"]
    if rollout.difference is not None:
        found = rollout.difference
        lines.append(f"  canary minus primary {found.estimate:+.3%} ({found.low:+.3%} to {found.high:+.3%})")
    lines += [
        f"  {step.percent:>3} %  {_moment(step.since)}  canary {_rate(step.canary)}  primary {_rate(step.primary)}"
        for step in rollout.curves
    ]
    return "\n".join(lines)


def _status(registry: RegistryClient, model: str) -> tuple[dict[str, Any], str]:
    found = registry.rollouts()
    text = "\n".join(map(describe, found[:1])) or f"no version of {model} was ever rolled out in steps"
    return {"rollouts": [each.model_dump(mode="json") for each in found]}, text


def _described(rollout: RolloutRecord) -> tuple[dict[str, Any], str]:
    return rollout.model_dump(mode="json"), describe(rollout)


def _request(given: argparse.Namespace) -> RolloutRequest:
    try:
        return RolloutRequest(
            version=given.what,
            steps=given.steps,
            every_seconds=given.every,
            expected_active=given.expected_active,
            reason=given.reason,
        )
    except ValidationError as error:
        raise CommandError(USAGE, f"--steps: {error.errors(include_url=False)[0]['msg']}") from error


def _rate(arm: ArmRate) -> str:
    if arm.rate is None:
        return "no exposures"
    return f"{arm.rate:.2%} ({arm.low:.2%} to {arm.high:.2%}; {arm.clicks} of {arm.exposures})"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _version_or_word(text: str) -> str:
    if text == _STATUS or text in _ACTIONS or re.fullmatch(MODEL_VERSION, text):
        return text
    raise argparse.ArgumentTypeError(f"a version, or one of {_STATUS}, {', '.join(_ACTIONS)}")


def _steps(text: str) -> list[int]:
    if not re.fullmatch(r"[0-9]{1,3}(?:,[0-9]{1,3})*", text):
        raise argparse.ArgumentTypeError("whole numbers of percent with commas between them: 5,25,50,100")
    return [int(each) for each in text.split(",")]


def _period(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else -1.0
    if not MIN_EVERY_SECONDS <= seconds <= MAX_EVERY_SECONDS:
        raise argparse.ArgumentTypeError("a number with s, m, h or d, from 60s to 7d")
    return seconds
