"""`registryctl history`: who changed what, with which token, and why, in the registry and the services beside it."""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC
from typing import Any

from contracts.access import check_http_url
from contracts.audit import AuditEntry
from contracts.registry.client import RegistryClient

MAX_LIMIT = 1000
OpenRegistry = Callable[[str], AbstractContextManager[RegistryClient]]


def add_arguments(history: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    history.add_argument("--limit", type=_limit, default=50, help="how many entries; 50 by default")
    history.add_argument(
        "--also",
        action="append",
        default=[],
        type=_address,
        metavar="URL",
        help="also of this service: that of feature-sync or notification-gateway; it needs a named token",
    )


def show(
    registry: RegistryClient, limit: int, also: list[str], open_service: OpenRegistry
) -> tuple[dict[str, Any], str]:
    """Return the newest entries of the registry and of the services at `also`, newest first."""
    entries = registry.audit_log(limit).entries
    for url in also:
        with open_service(url) as service:
            entries += service.audit_log(limit).entries
    # A service may be named twice, or be the registry itself.
    distinct = {(entry.service, entry.id, entry.request_id): entry for entry in entries}.values()
    newest = sorted(distinct, key=lambda entry: entry.at, reverse=True)[:limit]
    body = {"entries": [entry.model_dump(mode="json") for entry in newest]}
    return body, "\n".join(map(_line, newest)) or "nothing was changed yet"


def _line(entry: AuditEntry) -> str:
    who = entry.token if entry.by in (None, entry.token) else f"{entry.by} ({entry.token})"
    status = "unknown" if entry.status is None else str(entry.status)
    method = entry.action.partition(" ")[0]
    reason = " ".join((entry.reason or "").split())
    head = f"{entry.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}  {entry.service:<20} {who:<28} {status:>3}"
    return f"{head}  {method} {entry.target.removeprefix(f'{method} ')}  {reason}".rstrip()


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_LIMIT:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _address(text: str) -> str:
    try:
        return check_http_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
