"""The control API of tests: faults, what arrived, token expiry."""

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
    """One call of the API; `errcode` is None where the answer had none."""

    operation: Operation
    received_at: datetime
    errcode: int | None


class Arrivals(BaseModel):
    """What arrived, oldest first; `suppressed` counts repeats that enable_duplicate_check held back."""

    messages: list[Message]
    suppressed: int


class Users(BaseModel):
    """Members that don't exist; everyone else does."""

    unknown: Annotated[list[str], Field(max_length=1000)] = []


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
        """List what arrived."""
        return Arrivals(messages=corporation.messages, suppressed=corporation.suppressed)

    @routes.get("/mails")
    def get_mails() -> list[Mail]:
        """List the mails that arrived, oldest first."""
        return list(mailbox.mails)

    @routes.get("/calls")
    def get_calls() -> list[Call]:
        """List the calls of the API and their outcome."""
        return journal.calls

    @routes.put("/users")
    def set_users(users: Users) -> Users:
        """Say which members don't exist."""
        corporation.unknown_users = set(users.unknown)
        return users

    @routes.post("/expire-tokens", status_code=204)
    def expire_tokens() -> None:
        """Expire the token that is out."""
        corporation.expire_tokens()

    @routes.post("/reset", status_code=204)
    def reset() -> None:
        """Forget messages, mails, faults, tokens, members and calls."""
        mailbox.reset()
        corporation.reset()
        faults.waiting.clear()
        journal.calls.clear()

    return routes
