"""Counts step by step, and notes what it has counted in the metrics."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

import monitoring
from feature_sync.events.tables import SCHEMA
from feature_sync.outcomes.attribution import BATCH, Attributed, Attribution
from feature_sync.outcomes.metrics import OutcomeMetrics
from servicekit.database_calls import DatabaseCalls, DatabaseTimeoutError
from servicekit.health import Check

# Attribution is seconds behind; an outage or a burst of a few minutes is nothing to look at.
MAX_BEHIND_SECONDS = 600.0
_FAULTS = (DBAPIError, PoolTimeoutError, DatabaseTimeoutError)


class OutcomeCounting:
    """Counts until nothing is left; a fault of the database is reported, and the next step retries."""

    def __init__(
        self, attribution: Attribution, calls: DatabaseCalls, metrics: OutcomeMetrics, now: Callable[[], datetime]
    ) -> None:
        self._attribution = attribution
        self._calls = calls
        self._metrics = metrics
        self._now = now
        self._recoveries = monitoring.Recoveries("pipeline.database")
        self._batch = BATCH
        self._oldest: datetime | None = None

    async def step(self) -> None:
        """Count exposures, and attribute what is due: neither waits for the other."""
        await self._try("count_exposures", self._count_exposures)
        await self._try("attribute_outcomes", self._attribute)
        await self._try("measure_outcomes", self._measure)

    def check(self) -> Check:
        """Return how long the oldest event has waited since it was due."""
        behind = 0.0 if self._oldest is None else max(0.0, (self._now() - self._oldest).total_seconds())
        return Check(status="degraded" if behind > MAX_BEHIND_SECONDS else "healthy", detail=f"{behind:.0f} s behind")

    async def _try(self, operation: str, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
        except _FAULTS as error:
            self._recoveries.note_failure(database=SCHEMA, operation=operation)
            monitoring.report("pipeline.database", error=error, database=SCHEMA, operation=operation)
        else:
            self._recoveries.note_success(database=SCHEMA, operation=operation)

    async def _count_exposures(self) -> None:
        done = Attributed(is_all=False)
        while not done.is_all:
            done = await self._calls.run(self._attribution.count_exposures)
            self._metrics.count(done)

    async def _attribute(self) -> None:
        done = Attributed(is_all=False)
        while not done.is_all:
            try:
                done = await self._calls.run(self._attribution.attribute, self._batch)
            except _FAULTS:
                # It may have been too much for the time that the database has.
                self._batch = max(1, self._batch // 4)
                raise
            self._batch = min(BATCH, self._batch * 2)
            self._metrics.count(done)

    async def _measure(self) -> None:
        self._oldest = await self._calls.run(self._attribution.oldest_due)
