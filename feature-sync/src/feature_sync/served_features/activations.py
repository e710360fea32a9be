"""Notes when each snapshot became active, so that a comparison knows which one an answer had to be made with."""

from collections.abc import Callable
from datetime import UTC, datetime

from contracts import redis_keys
from feature_sync.connections import AnyRedis, get_many
from feature_sync.served_features.table import ServedFeatureTable
from servicekit.database_calls import DatabaseCalls


class SnapshotActivations:
    """Follows the pointer; a moment is as exact as the interval of `note`."""

    def __init__(
        self,
        redis: AnyRedis,
        table: ServedFeatureTable,
        calls: DatabaseCalls,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._redis = redis
        self._table = table
        self._calls = calls
        self._now = now
        self._noted: str | None = None
        # The version that waits for the database, and since when it is active.
        self._seen: tuple[str, datetime] | None = None

    async def note(self) -> None:
        """Record a new active snapshot; raises what Redis or the database raises, and the next call retries."""
        (pointer,) = await get_many(self._redis, [redis_keys.SNAPSHOT_POINTER])
        version = None if pointer is None else pointer.decode("utf-8", "replace")[:256]
        if version is None or version == self._noted:
            return
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self._now())
        await self._calls.run(self._table.note_active, *self._seen)
        self._noted = version
