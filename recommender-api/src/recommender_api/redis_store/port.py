"""What the API asks of Redis, whatever speaks to it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

# A caller that retries does so within hours; past that the event log's primary key still counts an event once.
SEEN_EVENT_SECONDS = 24 * 3600


class StoreError(Exception):
    """Redis did not do what it was asked; `error_type` names the cause. The caller falls back."""

    def __init__(self, message: str, error_type: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class StoreUnavailableError(StoreError):
    """Redis refused, timed out, reset or rejected the credentials: worth no second try within this request."""


class StoreRefusedError(StoreError):
    """Redis answered, but with an error (READONLY, OOM, WRONGTYPE): other calls may well succeed."""


class Put(NamedTuple):
    """A value to keep under each of `keys`, for so many seconds there."""

    value: bytes
    keys: dict[str, int]


class NewEvent(NamedTuple):
    """A behaviour event: its id, and its JSON body as the stream carries it."""

    event_id: str
    body: bytes


class Store(Protocol):
    """Every call raises `StoreUnavailableError` or `StoreRefusedError`."""

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of `keys` in one round trip, None where there is none."""
        ...

    async def read_head(self, key: str, size: int) -> bytes:
        """Return the first `size` bytes of a value, fewer where it has fewer, none where there is none."""
        ...

    async def top(self, key: str, count: int) -> list[tuple[int, float]]:
        """Return the first `count` (id, score) of a sorted set, highest score first."""
        ...

    async def write(self, puts: Sequence[Put], exposures: Sequence[bytes]) -> None:
        """Keep values and append each answer's `Exposures` (JSON) to the event stream, in one round trip."""
        ...

    async def add_events(self, events: Sequence[NewEvent]) -> int:
        """Append the events whose ids are new to the event stream, all or none each, and return how many were."""
        ...
