"""The port for channels: a channel sends once and returns the outcome; only the worker decides about retries."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from notification_gateway.outbox.notice import Notice


@dataclass(frozen=True, slots=True)
class Delivered:
    """The message was accepted; `detail` names recipients not reached; `reported`: monitoring has that report.

    `by` names a stand-in that accepted it, such as a simulator.
    """

    detail: str = ""
    reported: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message was rejected, or the outcome is unknown.

    `wait` is the minimum time until the next try. `reported`: monitoring has the report of this failure already.
    """

    reason: str
    retryable: bool
    wait: timedelta = timedelta(0)
    errcode: int | None = None
    http_status: int | None = None
    reported: bool = False


Outcome = Delivered | Rejected


class Channel(Protocol):
    """Sends notices through one service."""

    @property
    def per_minute(self) -> int | None:
        """The limit of attempts per minute; None: no limit."""
        ...

    @property
    def max_concurrent_sends(self) -> int:
        """The limit of concurrent sends; 1 where the service doesn't deduplicate.

        Then a killed process leaves at most one message with an unknown outcome.
        """
        ...

    async def send(self, notice: Notice, key: str) -> Outcome:
        """Send once; `key` is the same for each try of a notification. Failures of the service are returned."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


class UnconfiguredChannel:
    """A channel without configuration; it rejects every message."""

    per_minute = None
    max_concurrent_sends = 1

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def send(self, notice: Notice, key: str) -> Outcome:  # noqa: ARG002 - it sends nothing
        """Reject the message."""
        return Rejected(self._reason, retryable=False, reported=True)

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class ConfiguredChannel:
    """A channel, the kind of its recipients, and whether it is configured."""

    channel: Channel
    kind: str
    configured: bool
    is_simulated: bool = False


@dataclass
class FakeChannel:
    """Records notices; returns `outcomes` in turn, then `Delivered`."""

    outcomes: list[Outcome] = field(default_factory=list)
    sent: list[tuple[str, Notice]] = field(default_factory=list)
    per_minute: int | None = None
    max_concurrent_sends: int = 8

    async def send(self, notice: Notice, key: str) -> Outcome:
        """Record a notice that is delivered."""
        outcome = self.outcomes.pop(0) if self.outcomes else Delivered()
        if isinstance(outcome, Delivered):
            self.sent.append((key, notice))
        return outcome

    async def close(self) -> None:
        """Nothing is open."""
