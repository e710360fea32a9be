"""The parts of a worker that process the event stream, on a clock of their own."""

import asyncio
import time
from typing import Any

from pydantic import SecretStr
from redis.asyncio import Redis

from contracts import redis_keys
from feature_sync.connections import RedisFaults
from feature_sync.events.consumer import EntryStore, GroupConsumer
from feature_sync.events.dead_letters import DeadLetters
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import EventLog
from feature_sync.events.rejection import Rejection
from feature_sync.events.retention import StreamRetention
from feature_sync.events.stores import LiveStore, LogStore
from feature_sync.events.stream import ConsumerGroup, Reading
from feature_sync.events.suspects import Suspects
from feature_sync.forgetting.table import MarkTable
from feature_sync.metrics import Metrics
from servicekit.database_calls import DatabaseCalls


class Worker:
    """A consumer for each group, and what they share."""

    def __init__(self, redis: Redis, url: str, log: EventLog, **options: Any) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.letters = DeadLetters(redis, options.get("most", 10_000))
        self.marks = MarkTable(log._engine, SecretStr("the-secret"))
        self.live_store = LiveStore(LiveFeatures(redis, options.get("clock", time.time)), self.marks, self.metrics)
        self.calls = DatabaseCalls(log._engine, options.get("write_seconds", 30.0))
        self.log_store = LogStore(log, self.calls, self.marks, self.metrics)
        repeats = LogStore(log, self.calls, self.marks, self.metrics, repeats=True)
        reading = Reading(
            options.get("name", "one"), 500, block_seconds=0.02, takeover_seconds=options.get("takeover_seconds", 60.0)
        )
        rejection = Rejection(self.letters, self.metrics)

        def consumer(group: str, store: EntryStore, stream: str = redis_keys.EVENT_STREAM) -> GroupConsumer:
            return GroupConsumer(
                ConsumerGroup(redis, stream, group, reading),
                store,
                rejection,
                faults=RedisFaults(url),
                suspects=Suspects(lambda: self.now),
                sleep=self._sleep,
                clock=lambda: self.now,
            )

        self.live = consumer(redis_keys.LIVE_GROUP, self.live_store)
        self.log = consumer(redis_keys.LOG_GROUP, self.log_store)
        self.repeated = consumer(redis_keys.LOG_GROUP, repeats, redis_keys.REPEATED_EVENTS)
        groups = [redis_keys.LIVE_GROUP, redis_keys.LOG_GROUP]
        self.retention = StreamRetention(redis, redis_keys.EVENT_STREAM, groups, reading.takeover_seconds)

    async def _sleep(self, _: float) -> None:
        await asyncio.sleep(0)

    async def step(self) -> None:
        """Let each loop go round once."""
        await self.live.step()
        await self.log.step()
        await self.retention.trim()
