"""Checks of the arguments of `registryctl`, before anything is sent."""

import argparse
import math
import re
from collections.abc import Callable

from contracts.access import check_http_url, check_single_line, check_token
from contracts.command_client import checked_option
from contracts.command_line import USAGE, CommandError
from contracts.model_versions import MODEL_NAME, MODEL_VERSION, VERSION_OR_ALIAS
from contracts.person_names import check_name
from contracts.text import is_visible

_MAX_REASON = 1000


def check_arguments(given: argparse.Namespace) -> None:
    """Validate the arguments before they are used; `given.by` becomes the name without white space around it."""
    checked_option("--url (REGISTRY_URL)", check_http_url, given.url)
    if given.token:
        checked_option("--token (REGISTRY_TOKEN)", check_token, given.token)
    checked_option("--model (MODEL_NAME)", _check_model, given.model)
    if given.by is not None:
        given.by = checked_option("--by", check_name, given.by)
    for option, name, check in _OPTIONAL:
        if getattr(given, option, None) is not None:
            checked_option(name, check, getattr(given, option))
    if hasattr(given, "rollout"):
        _check_deployment(given)


def _check_deployment(given: argparse.Namespace) -> None:
    mode, rollout = given.mode, given.rollout
    if getattr(given, "force", False) and not is_visible(given.reason or ""):
        raise CommandError(USAGE, "--force needs --reason, which the history keeps")
    if mode == "canary" and rollout is None:
        raise CommandError(USAGE, "--rollout: a canary needs the share of the users that it serves, from 0 to 1")
    if mode != "canary" and rollout not in (None, 1.0):
        raise CommandError(USAGE, f"--rollout: a {mode} has none, only a canary serves a share of the users")


def _check_model(value: str) -> str:
    if not re.fullmatch(MODEL_NAME, value):
        raise ValueError("a model's name is a lower-case letter, then letters, digits, _ and -")
    return value


def _check_version(value: str) -> str:
    if not re.fullmatch(MODEL_VERSION, value):
        raise ValueError("a version is a whole number, as `registryctl status` shows it")
    return value


def _check_version_or_alias(value: str) -> str:
    if not re.fullmatch(VERSION_OR_ALIAS, value):
        raise ValueError("a version is a whole number, as `registryctl status` shows it, or the name of an alias")
    return value


def _check_reason(value: str) -> str:
    if len(value) > _MAX_REASON:
        raise ValueError(f"at most {_MAX_REASON} characters")
    return check_single_line(value)


# Options that not every command has, how messages name them, and their checks.
_OPTIONAL: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    ("version", "VERSION", _check_version_or_alias),
    ("expected_active", "--expected-active", _check_version),
    ("expected", "--expected", _check_version),
    ("before", "--before", _check_version),
    ("to", "--to", check_http_url),
    ("to_token", "--to-token (PROMOTE_TOKEN)", check_token),
    ("reason", "--reason", _check_reason),
)


def compared_version(text: str) -> str:
    try:
        return _check_version_or_alias(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError("seconds are a number from 0 on")
    return value


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("a share is a number from 0 to 1")
    return value
