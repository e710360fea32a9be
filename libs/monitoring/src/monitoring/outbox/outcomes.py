"""What became of a delivery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other side has it, except the payloads whose positions are in `rejected`, each with its reason."""

    rejected: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The other side will never take it: sending again is no use."""

    reason: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """Our own side decided not to send it."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Not now; `retry_after` (s) is what the other side asked for."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The other side broke over it: it may be the payload's fault, or that side may be broken altogether."""

    reason: str


Outcome = Delivered | Rejected | Withheld | Unavailable | Failed


class Deliver(Protocol):
    """Sends payloads in one go; returns what the other side or the network did."""

    def __call__(self, payloads: Sequence[bytes], /) -> Outcome:
        """Return what happened."""
        ...
