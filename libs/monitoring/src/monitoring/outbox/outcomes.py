"""The outcomes of a delivery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has all payloads except those whose positions are in `rejected`, each with its reason."""

    rejected: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The receiver will never accept it, so it is not sent again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """Our own side decided not to send it."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The receiver cannot accept it now; `retry_after` (s) is the pause that it asked for."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The receiver failed: because of this payload, or because it is broken for all."""

    reason: str


Outcome = Delivered | Rejected | Withheld | Unavailable | Failed


class Deliver(Protocol):
    """Sends payloads in one request and returns the outcome."""

    def __call__(self, payloads: Sequence[bytes], /) -> Outcome:
        """Return the outcome."""
        ...
