"""The port to the outside: channels send and say what happened; only the worker decides to try again."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from notification_gateway.outbox.notice import Notice


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other side has it; `detail` says for whom it was not. `reported` means that monitoring knows of that.

    `by` names what took it in place of the real other side.
    """

    detail: str = ""
    reported: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The other side doesn't have it, or nobody knows.

    `wait` is how long to leave it alone at least. `reported` means that whoever rejected it has told monitoring.
    """

    reason: str
    retryable: bool
    wait: timedelta = timedelta(0)
    errcode: int | None = None
    http_status: int | None = None
    reported: bool = False


Outcome = Delivered | Rejected


class Channel(Protocol):
    """Sends notices to people."""

    @property
    def per_minute(self) -> int | None:
        """How many attempts a minute the other side bears; None: any number."""
        ...

    @property
    def max_concurrent_sends(self) -> int:
        """How many may be on their way together: one, where a second try of the same would arrive as another message.

        So a process that is killed leaves at most one message of which nobody knows.
        """
        ...

    async def send(self, notice: Notice, key: str) -> Outcome:
        """Try once; `key` is the same for each try of one notification. Never raises for what the other side does."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


class UnconfiguredChannel:
    """Stands where nothing is configured."""

    per_minute = None
    max_concurrent_sends = 1

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def send(self, notice: Notice, key: str) -> Outcome:  # noqa: ARG002 - it sends nothing
        """Refuse."""
        return Rejected(self._reason, retryable=False, reported=True)

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class ConfiguredChannel:
    """A channel and how to speak of it."""

    channel: Channel
    kind: str
    configured: bool
    is_simulated: bool = False


@dataclass
class FakeChannel:
    """Keeps what it is given; answers with `outcomes` in turn, then with `Delivered`."""

    outcomes: list[Outcome] = field(default_factory=list)
    sent: list[tuple[str, Notice]] = field(default_factory=list)
    per_minute: int | None = None
    max_concurrent_sends: int = 8

    async def send(self, notice: Notice, key: str) -> Outcome:
        """Take a notice."""
        outcome = self.outcomes.pop(0) if self.outcomes else Delivered()
        if isinstance(outcome, Delivered):
            self.sent.append((key, notice))
        return outcome

    async def close(self) -> None:
        """Nothing is open."""
