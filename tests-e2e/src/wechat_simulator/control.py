"""The control API for tests: faults, received messages, token expiry."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from wechat_simulator.corporation import Corporation, Message
from wechat_simulator.faults import Fault, Faults, Operation
from wechat_simulator.mailbox import Mail, Mailbox


@dataclass(frozen=True)
class Call:
    """One call of the API; `errcode` is None if the answer had none."""

    operation: Operation
    received_at: datetime
    errcode: int | None


class Arrivals(BaseModel):
    """The received messages, oldest first; `suppressed` counts repeats that enable_duplicate_check suppressed."""

    messages: list[Message]
    suppressed: int


class Users(BaseModel):
    """Members that don't exist, and those without a licence, who get nothing; all other members exist."""

    unknown: Annotated[list[str], Field(max_length=1000)] = []
    unlicensed: Annotated[list[str], Field(max_length=1000)] = []
    unknown_parties: Annotated[list[str], Field(max_length=1000, description="Departments that don't exist")] = []
    unknown_tags: Annotated[list[str], Field(max_length=1000, description="Tags that don't exist")] = []


class TrustedAddresses(BaseModel):
    """The application's trusted IPs; null: every caller is trusted."""

    trusted: Annotated[list[str] | None, Field(max_length=1000)] = None


@dataclass
class Journal:
    """The calls so far."""

    calls: list[Call] = field(default_factory=list)


def router(corporation: Corporation, faults: Faults, journal: Journal, mailbox: Mailbox) -> APIRouter:
    """Return the routes below `/_control`."""
    routes = APIRouter(prefix="/_control", tags=["control"])

    @routes.post("/faults", status_code=201)
    def set_fault(fault: Fault) -> Fault:
        """Make the next calls fail."""
        faults.add(fault)
        return fault

    @routes.get("/faults")
    def get_faults() -> list[Fault]:
        """List the faults that are set."""
        return faults.waiting

    @routes.delete("/faults", status_code=204)
    def clear_faults() -> None:
        """Clear all faults."""
        faults.waiting.clear()

    @routes.get("/messages")
    def get_messages() -> Arrivals:
        """List the received messages."""
        return Arrivals(messages=corporation.messages, suppressed=corporation.suppressed)

    @routes.get("/calls")
    def get_calls() -> list[Call]:
        """List the calls of the API and their outcome."""
        return journal.calls

    @routes.put("/users")
    def set_users(users: Users) -> Users:
        """Set which members don't exist or have no licence."""
        corporation.unknown_users = set(users.unknown)
        corporation.unlicensed_users = set(users.unlicensed)
        corporation.unknown_groups = {"toparty": set(users.unknown_parties), "totag": set(users.unknown_tags)}
        return users

    @routes.put("/trusted-addresses")
    def set_trusted_addresses(addresses: TrustedAddresses) -> TrustedAddresses:
        """Set which addresses may call; others get 60020."""
        corporation.trusted_addresses = None if addresses.trusted is None else set(addresses.trusted)
        return addresses

    @routes.post("/expire-tokens", status_code=204)
    def expire_tokens() -> None:
        """Expire the current token."""
        corporation.expire_tokens()

    @routes.post("/reset", status_code=204)
    def reset() -> None:
        """Delete messages, mails, faults, tokens, members and calls."""
        mailbox.reset()
        corporation.reset()
        faults.waiting.clear()
        journal.calls.clear()

    _add_mails(routes, mailbox)
    return routes


def _add_mails(routes: APIRouter, mailbox: Mailbox) -> None:
    @routes.get("/mails")
    def get_mails() -> list[Mail]:
        """List the received mails, oldest first."""
        return list(mailbox.mails)
