"""Builds and connects the parts that process the event stream."""

from sqlalchemy import Engine

from contracts import redis_keys
from feature_sync.bounds import BoundWatch
from feature_sync.connections import AnyRedis, RedisFaults, unless_lost
from feature_sync.events.consumer import GroupConsumer
from feature_sync.events.dead_letters import DeadLetters
from feature_sync.events.lag import StreamLag
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import EventLog
from feature_sync.events.rejection import Rejection
from feature_sync.events.retention import StreamRetention
from feature_sync.events.stores import WRITE_SECONDS, LiveStore, LogStore
from feature_sync.events.stream import ConsumerGroup, Reading
from feature_sync.marks import MarkSource
from feature_sync.metrics import Metrics
from servicekit.background import BackgroundLoops
from servicekit.database_calls import DatabaseCalls

TRIM_SECONDS = 0.5
LAG_SECONDS = 1.0
# Two renewals may fail.
ANNOUNCE_SECONDS, ANNOUNCED_SECONDS = 20.0, 70


class EventConsumers:
    """A consumer for each group, each in a loop of its own: none waits for another."""

    def __init__(
        self,
        redis: AnyRedis,
        live: LiveFeatures,
        engine: Engine,
        dead_letters: DeadLetters,
        *,
        marks: MarkSource,
        reading: Reading,
        max_lag_seconds: float,
        faults: RedisFaults,
        metrics: Metrics,
    ) -> None:
        """Take `engine` over: it is this object's alone."""
        self._redis = redis
        self._database = DatabaseCalls(engine, WRITE_SECONDS)
        self._dead_letters, self._metrics = dead_letters, metrics
        rejection = Rejection(dead_letters, metrics)

        def consumer(stream: str, group: str, store: LiveStore | LogStore) -> GroupConsumer:
            return GroupConsumer(ConsumerGroup(redis, stream, group, reading), store, rejection, faults=faults)

        stream, repeated = redis_keys.EVENT_STREAM, redis_keys.REPEATED_EVENTS
        log = LogStore(EventLog(engine), self._database, marks, metrics)
        repeats = LogStore(EventLog(engine), self._database, marks, metrics, repeats=True)
        self._live = consumer(stream, redis_keys.LIVE_GROUP, LiveStore(live, marks, metrics))
        self._log = consumer(stream, redis_keys.LOG_GROUP, log)
        self._repeated = consumer(repeated, redis_keys.LOG_GROUP, repeats)
        groups = (redis_keys.LIVE_GROUP, redis_keys.LOG_GROUP)
        self._retention = [
            StreamRetention(redis, stream, groups, reading.takeover_seconds),
            StreamRetention(redis, repeated, [redis_keys.LOG_GROUP], reading.takeover_seconds),
        ]
        self.lag = StreamLag(redis, stream, metrics, BoundWatch("pipeline.feature_store_lag", max_lag_seconds))

    def add_loops(self, loops: BackgroundLoops) -> None:
        """Add a loop for each consumer, and those that look after the stream."""
        loops.add("live features", self._live.step)
        loops.add("event log", self._log.step)
        loops.add("repeated events", self._repeated.step)
        loops.add("stream retention", unless_lost(self._trim), interval=TRIM_SECONDS)
        loops.add("stream announcement", unless_lost(self._announce), interval=ANNOUNCE_SECONDS)
        loops.add("stream lag", unless_lost(self._measure), interval=LAG_SECONDS)

    def close(self) -> None:
        """Give up what the database has not answered."""
        self._database.close()

    async def _trim(self) -> None:
        for each in self._retention:
            await each.trim()

    async def _announce(self) -> None:
        """Tell recommender-api which entries this release takes beside those of the release before."""
        await self._redis.set(redis_keys.TAKES_ANONYMOUS, "", ex=ANNOUNCED_SECONDS)

    async def _measure(self) -> None:
        await self.lag.measure()
        self._metrics.dead_letters.set((await self._dead_letters.counts()).count)
