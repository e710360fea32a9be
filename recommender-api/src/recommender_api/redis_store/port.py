"""The port to Redis, for all clients."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

# A caller that retries does so within hours; after that the event log's primary key still counts an event once.
SEEN_EVENT_SECONDS = 24 * 3600


class StoreError(Exception):
    """A Redis call failed; `error_type` names the cause. The caller uses a fallback."""

    def __init__(self, message: str, error_type: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class StoreUnavailableError(StoreError):
    """Redis was unreachable, timed out, reset the connection or rejected credentials: don't retry in this request."""


class StoreRefusedError(StoreError):
    """Redis answered with an error (READONLY, OOM, WRONGTYPE): other calls may still succeed."""


class Put(NamedTuple):
    """A value to store under each of `keys`, with the TTL of each in seconds."""

    value: bytes
    keys: dict[str, int]


class NewEvent(NamedTuple):
    """A behaviour event: its id, and its JSON body as the stream carries it."""

    event_id: str
    body: bytes


class Store(Protocol):
    """Every call raises `StoreUnavailableError` or `StoreRefusedError`."""

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of `keys` in one round trip, None for keys without one."""
        ...

    async def read_head(self, key: str, size: int) -> bytes:
        """Return the first `size` bytes of a value, fewer if the value is shorter or missing."""
        ...

    async def top(self, key: str, count: int) -> list[tuple[int, float]]:
        """Return the first `count` (id, score) pairs of a sorted set, highest score first."""
        ...

    async def write(self, puts: Sequence[Put], exposures: Sequence[bytes]) -> None:
        """Store values and append each answer's `Exposures` (JSON) to the event stream, in one round trip."""
        ...

    async def add_events(self, events: Sequence[NewEvent]) -> int:
        """Append the events with new ids to the event stream, each completely or not at all; return their number."""
        ...
