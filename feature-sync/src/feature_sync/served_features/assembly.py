"""Builds and connects the parts that store served features."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy import Engine

from feature_sync.connections import AnyRedis, unless_lost
from feature_sync.events.log import LogUnavailableError
from feature_sync.events.stores import WRITE_SECONDS
from feature_sync.events.stream import Reading
from feature_sync.marks import MarkSource
from feature_sync.metrics import Metrics
from feature_sync.served_features.activations import SnapshotActivations
from feature_sync.served_features.consumer import ServedFeatureConsumer
from feature_sync.served_features.table import ServedFeatureTable
from servicekit.background import BackgroundLoops
from servicekit.database_calls import DatabaseCalls, DatabaseTimeoutError

ACTIVATION_SECONDS = 1.0
RETENTION_SECONDS = 3600.0


class ServedFeatureAssembly:
    """The loops of served features."""

    def __init__(self, engine: Engine, redis: AnyRedis, marks: MarkSource, reading: Reading, metrics: Metrics) -> None:
        """Take `engine` over: it is this object's alone."""
        self._calls = DatabaseCalls(engine, WRITE_SECONDS)
        self._table = ServedFeatureTable(engine, marks)
        self._consumer = ServedFeatureConsumer(redis, self._table, self._calls, reading, metrics)
        self._activations = SnapshotActivations(redis, self._table, self._calls)

    def add_loops(self, loops: BackgroundLoops) -> None:
        """Add the consumer, and the loops beside it."""
        loops.add("served features", self._consumer.step)
        loops.add(
            "snapshot activations",
            unless_lost(_unless_unavailable(self._activations.note)),
            interval=ACTIVATION_SECONDS,
        )
        loops.add("served features retention", _unless_unavailable(self._remove_old), interval=RETENTION_SECONDS)

    def close(self) -> None:
        """Give up what the database has not answered."""
        self._calls.close()

    async def _remove_old(self) -> None:
        await self._calls.run(self._table.remove_old, datetime.now(UTC))


def _unless_unavailable(step: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Return a step that ends early while the database is unavailable: the event log reports its outage."""

    async def run() -> None:
        with suppress(LogUnavailableError, DatabaseTimeoutError):
            await step()

    return run
