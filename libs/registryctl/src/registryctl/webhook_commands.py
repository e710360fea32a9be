"""`registryctl webhooks`: addresses to which the registry posts what happens."""

import argparse
import os
from datetime import UTC
from typing import Any

from contracts.command_line import Commands
from contracts.registry.client import RegistryClient
from contracts.webhooks import NewWebhook, WebhookEvent, WebhookRecord

_Answer = tuple[dict[str, Any], str]


def add_commands(commands: Commands) -> None:
    """Add the commands below `registryctl webhooks`."""
    add = commands.add("add", _add, "register an address, and print the key of the signatures, once")
    add.add_argument("address", metavar="URL")
    add.add_argument(
        "--event", action="append", choices=[str(event) for event in WebhookEvent], help="only this; may be repeated"
    )
    add.add_argument("--reason", help="reason for the audit log")
    add.set_defaults(secret=os.environ.get("WEBHOOK_SECRET") or None)
    commands.add("list", _list, "list the addresses, and how the deliveries go")
    remove = commands.add("remove", _remove, "remove an address, and what waits for it")
    remove.add_argument("number", type=_number)
    remove.add_argument("--reason", help="reason for the audit log")


def _add(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    wanted = {"url": given.address, "events": given.event, "secret": given.secret, "reason": given.reason}
    made = registry.add_webhook(
        NewWebhook.model_validate({name: value for name, value in wanted.items() if value is not None})
    )
    text = f"webhook {made.id} to {made.url}: keep the key of its signatures now, it is not shown again\n{made.secret}"
    return made.model_dump(mode="json"), text


def _list(registry: RegistryClient, _given: argparse.Namespace) -> _Answer:
    found = registry.webhooks()
    return found.model_dump(mode="json"), "\n".join(map(_line, found.webhooks)) or "there are no webhooks"


def _line(webhook: WebhookRecord) -> str:
    at = webhook.last_success_at
    delivered = "never" if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    error = "" if webhook.last_error is None else f", {webhook.failures} failures: {webhook.last_error}"
    events = ", ".join(webhook.events)
    return f"{webhook.id:>3}  {webhook.url}  {events}  delivered {delivered}, {webhook.waiting} wait{error}"


def _remove(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    registry.remove_webhook(given.number, given.reason)
    return {"id": given.number, "removed": True}, f"webhook {given.number} is removed"


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) < 2**31:
        raise argparse.ArgumentTypeError("a number, as `registryctl webhooks list` shows it")
    return int(text)
