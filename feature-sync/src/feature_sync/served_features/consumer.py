"""Moves served features from their stream to the database."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import ResponseError

from contracts import redis_keys
from feature_sync.connections import REDIS_ERRORS, AnyRedis
from feature_sync.events.entries import RawEntry
from feature_sync.events.log import EventsNotTakenError, LogUnavailableError
from feature_sync.events.stream import FIRST, ConsumerGroup, Reading
from feature_sync.metrics import Metrics
from feature_sync.served_features.table import MalformedEntryError, ServedEntry, ServedFeatureTable, read_served
from servicekit.database_calls import DatabaseCalls, DatabaseTimeoutError

_log = logging.getLogger(__name__)

# An entry has some 10 kB.
BATCH = 50
PAUSE_SECONDS = 1.0
# recommender-api writes while the stream is there. Without a reader it must not keep data about users.
STREAM_SECONDS = 86_400


class ServedFeatureConsumer:
    """Reads the stream in a group, so that an entry stays there until the database has it.

    An outage of Redis or PostgreSQL is reported by the consumers of events: here it is only waited for.
    """

    def __init__(
        self,
        redis: AnyRedis,
        table: ServedFeatureTable,
        calls: DatabaseCalls,
        reading: Reading,
        metrics: Metrics,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._redis = redis
        self._table = table
        self._calls = calls
        self._metrics = metrics
        self._sleep = sleep
        read = Reading(reading.consumer, BATCH, takeover_seconds=reading.takeover_seconds)
        self._group = ConsumerGroup(redis, redis_keys.SERVED_STREAM, redis_keys.LOG_GROUP, read)
        self._prepared = False
        # The entries that this worker has taken before come first.
        self._unfinished = True

    async def step(self) -> None:
        """Process a batch; wait up to a second for one, and a second after a fault."""
        try:
            await self._step()
        except (LogUnavailableError, DatabaseTimeoutError, *REDIS_ERRORS) as error:
            if isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE"):
                _log.warning("%s is no stream: served features are not stored", redis_keys.SERVED_STREAM)
            self._prepared, self._unfinished = False, True
            await self._sleep(PAUSE_SECONDS)

    async def _step(self) -> None:
        if not self._prepared:
            await self._group.prepare()
            await self._group.remove_dead_consumers()
            self._prepared = True
        await self._redis.expire(redis_keys.SERVED_STREAM, STREAM_SECONDS)
        taken = await self._group.pending(FIRST) if self._unfinished else await self._group.claim()
        if not taken:
            self._unfinished = False
            taken = await self._group.take()
        await self._process(taken)

    async def _process(self, taken: Sequence[RawEntry]) -> None:
        if not taken:
            return
        entries, unreadable = [], 0
        for entry_id, fields in taken:
            try:
                if fields is not None:
                    entries.append(read_served(entry_id, fields))
            except MalformedEntryError as error:
                unreadable += 1
                _log.warning("an entry of the served features can't be read: %s", type(error.__cause__).__name__)
        stored = await self._store(entries)
        ids = [entry_id for entry_id, _ in taken]
        await self._group.done(ids)
        await self._redis.xdel(redis_keys.SERVED_STREAM, *ids)
        self._metrics.served_features.labels("stored").inc(stored)
        self._metrics.served_features.labels("rejected").inc(unreadable)

    async def _store(self, entries: Sequence[ServedEntry]) -> int:
        try:
            return await self._calls.run(self._table.add, entries) if entries else 0
        except EventsNotTakenError:
            if len(entries) > 1:
                return sum([await self._store([entry]) for entry in entries])
            self._metrics.served_features.labels("rejected").inc()
            _log.warning("the database rejected an entry of the served features", exc_info=True)
            return 0
