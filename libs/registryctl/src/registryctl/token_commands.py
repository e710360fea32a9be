"""`registryctl tokens`: create, list, rotate and revoke named tokens."""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args

from pydantic import ValidationError

from contracts.access_tokens import (
    MAX_DAYS,
    MAX_OVERLAP_HOURS,
    TOKEN_NAME,
    CreatedToken,
    NewToken,
    Role,
    TokenRecord,
    TokenRotation,
)
from contracts.command_line import USAGE, CommandError, Commands
from contracts.model_versions import MODEL_NAME
from contracts.registry.client import RegistryClient

_Answer = tuple[dict[str, Any], str]


def add_commands(commands: Commands) -> None:
    """Add the commands below `registryctl tokens`."""

    def add(name: str, run: Callable[..., _Answer], text: str) -> argparse.ArgumentParser:
        added = commands.add(name, run, text)
        if run is not _list:
            added.add_argument("name", type=_matching(TOKEN_NAME, "a name is lower-case letters, digits, . _ and -"))
            added.add_argument("--reason", help="reason for the audit log")
        return added

    create = add("create", _create, "create a token and print its secret, once")
    create.add_argument("--role", required=True, choices=get_args(Role))
    model = _matching(MODEL_NAME, "a model's name is a lower-case letter, then letters, digits, _ and -")
    create.add_argument(
        "--only", action="append", type=model, metavar="MODEL", help="a model that it opens; all by default"
    )
    create.add_argument(
        "--replica", action="append", metavar="ID", help="an id as which it reports, or `api-*`; any by default"
    )
    add("list", _list, "list the tokens, without their secrets")
    rotate = add("rotate", _rotate, "make a new secret and print it; the earlier one stays valid for a while")
    rotate.add_argument(
        "--overlap-hours", type=_number(0, MAX_OVERLAP_HOURS), default=24.0, help="for so long; 24 by default"
    )
    create.add_argument("--days", type=_days, help="until the secret expires; never by default")
    rotate.add_argument(
        "--days", type=_days, help="until the new secret expires; as many as the earlier one had by default"
    )
    add("revoke", _revoke, "make all secrets of a token invalid, at once")


def _create(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    try:
        wanted = NewToken(
            name=given.name,
            role=given.role,
            models=given.only,
            replicas=given.replica,
            days=given.days,
            reason=given.reason,
        )
    except ValidationError as error:
        raise CommandError(USAGE, error.errors(include_url=False)[0]["msg"]) from error
    return _shown(registry.tokens.create(wanted))


def _rotate(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    wanted = TokenRotation(overlap_hours=given.overlap_hours, days=given.days, reason=given.reason)
    return _shown(registry.tokens.rotate(given.name, wanted))


def _shown(created: CreatedToken) -> _Answer:
    expiry = "" if created.expires_at is None else f", until {_moment(created.expires_at)}"
    text = f"{created.name} ({created.role}{expiry}): keep the secret now, it is not shown again\n{created.token}"
    return created.model_dump(mode="json"), text


def _list(registry: RegistryClient, _given: argparse.Namespace) -> _Answer:
    found = registry.tokens.list_all()
    return found.model_dump(mode="json"), "\n".join(map(_line, found.tokens)) or "there are no named tokens"


def _line(token: TokenRecord) -> str:
    models = ",".join(token.models) if token.models else "all models"
    models += f" as {','.join(token.replicas)}" if token.replicas else ""
    state = "valid" if token.expires_at is None else f"until {_moment(token.expires_at)}"
    if token.revoked_at is not None:
        state = f"revoked {_moment(token.revoked_at)}"
    elif token.expires_at is not None and token.expires_at <= datetime.now(UTC):
        state = "expired"
    return (
        f"{token.name:<24} {token.role:<8} {models:<16} {token.created_at:%Y-%m-%d} by {token.created_by:<16} {state}"
    )


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _revoke(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    registry.tokens.revoke(given.name, given.reason)
    return {"name": given.name, "revoked": True}, f"{given.name} is revoked"


def _matching(pattern: str, rule: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(rule)
        return text

    return check


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", text) or not least <= float(text) <= most:
            raise argparse.ArgumentTypeError(f"a number from {least:g} to {most:g}")
        return float(text)

    return read


def _days(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text) or int(text) > MAX_DAYS:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MAX_DAYS}")
    return int(text)
