"""The port to Redis, for all clients."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

# A caller that retries does so within a day; after that the event log's primary key still counts an event once.
SEEN_EVENT_SECONDS = 25 * 3600


class StoreError(Exception):
    """A Redis call failed; `error_type` names the cause. The caller uses a fallback."""

    def __init__(self, message: str, error_type: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class StoreUnavailableError(StoreError):
    """Redis was unreachable, timed out, reset the connection or rejected credentials: don't retry in this request."""


class StoreRefusedError(StoreError):
    """Redis answered with an error (READONLY, OOM, WRONGTYPE): other calls may still succeed."""


class StreamFullError(StoreError):
    """The event stream has reached its maximum size, and nothing was added to it: keep events until there is room."""


class Put(NamedTuple):
    """A value to store under each of `keys`, with the TTL of each in seconds."""

    value: bytes
    keys: dict[str, int]


class NewEvent(NamedTuple):
    """A behaviour event: its id, and its JSON body as the stream carries it."""

    event_id: str
    body: bytes


class NewServed(NamedTuple):
    """What an answer was ranked with, as the stream carries it (`contracts.served_features`)."""

    head: bytes
    vectors: bytes


class Store(Protocol):
    """Every call raises `StoreUnavailableError` or `StoreRefusedError`; one that adds events also `StreamFullError`."""

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of `keys` in one round trip, None for keys without one."""
        ...

    async def read_head(self, key: str, size: int) -> bytes:
        """Return the first `size` bytes of a value, fewer if the value is shorter or missing."""
        ...

    async def top(self, key: str, count: int, start: int = 0) -> list[tuple[int, float]]:
        """Return `count` (id, score) pairs of a sorted set, highest score first, from place `start` on."""
        ...

    async def write(self, puts: Sequence[Put], exposures: Sequence[bytes]) -> None:
        """Store values and append each answer's `Exposure` (JSON) to the event stream, in one round trip.

        If the stream is full, the values are stored all the same.
        """
        ...

    async def add_events(self, events: Sequence[NewEvent]) -> int:
        """Append the events with new ids to the event stream, each completely or not at all; return their number.

        The others are appended to the stream of repeated events, because a store can take an id for another.
        """
        ...

    async def add_served(self, entries: Sequence[NewServed]) -> int:
        """Append entries to the stream of served features; return their number, 0 while nobody reads that stream."""
        ...
