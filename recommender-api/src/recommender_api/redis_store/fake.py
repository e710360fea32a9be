"""Redis in a dictionary, for tests of code that uses `Store`."""

from collections.abc import Sequence

from contracts import redis_keys
from recommender_api.redis_store.commands import ANONYMOUS
from recommender_api.redis_store.port import NewEvent, NewServed, Put, StoreError, StreamFullError


class MemoryStore:
    """`Store` in memory; nothing expires. While `error` is set, every call raises it."""

    def __init__(self, stream_max_bytes: int = 2**30) -> None:
        self._stream_max_bytes = stream_max_bytes
        self.values: dict[str, bytes] = {}
        self.sorted_sets: dict[str, dict[int, float]] = {}
        self.stream: list[bytes] = []
        self.repeated: list[bytes] = []
        # None: nobody reads them.
        self.served: list[NewServed] | None = None
        self.error: StoreError | None = None
        self.reads = 0
        self._seen: set[str] = set()

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `Store`."""
        self._check()
        self.reads += 1
        return [self.values.get(key) for key in keys]

    async def read_head(self, key: str, size: int) -> bytes:
        """See `Store`."""
        self._check()
        self.reads += 1
        return self.values.get(key, b"")[:size]

    async def top(self, key: str, count: int, start: int = 0) -> list[tuple[int, float]]:
        """See `Store`."""
        self._check()
        self.reads += 1
        members = self.sorted_sets.get(key, {})
        return sorted(members.items(), key=lambda member: (member[1], str(member[0])), reverse=True)[
            start : start + count
        ]

    async def write(self, puts: Sequence[Put], exposures: Sequence[bytes]) -> None:
        """See `Store`."""
        self._check()
        self.values |= {key: put.value for put in puts for key in put.keys}
        if exposures:
            self._check_full()
        takes_anonymous = redis_keys.TAKES_ANONYMOUS in self.values
        self.stream += [each for each in exposures if takes_anonymous or not each.startswith(ANONYMOUS)]

    async def add_events(self, events: Sequence[NewEvent]) -> int:
        """See `Store`."""
        self._check()
        self._check_full()
        added = 0
        for event in events:
            if event.event_id in self._seen:
                self.repeated.append(event.body)
                continue
            self._seen.add(event.event_id)
            self.stream.append(event.body)
            added += 1
        return added

    async def add_served(self, entries: Sequence[NewServed]) -> int:
        """See `Store`."""
        self._check()
        if self.served is None:
            return 0
        self.served += entries
        return len(entries)

    async def probe(self) -> None:
        """Raise `error` if it is set."""
        self._check()

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def _check_full(self) -> None:
        if sum(len(body) for body in (*self.stream, *self.repeated)) >= self._stream_max_bytes:
            raise StreamFullError("the event stream has reached STREAM_MAX_MB", "StreamFullError")
