"""Publishes the table as the list in Redis that replicas poll, and repairs it after faults of either."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

import monitoring
from contracts import redis_keys
from contracts.withdrawn import MalformedListError, WithdrawnList
from feature_sync.connections import REDIS_ERRORS, AnyRedis, RedisFaults, get_many
from feature_sync.errors import WithdrawalsUnavailableError
from feature_sync.events.tables import SCHEMA
from feature_sync.metrics import Metrics
from feature_sync.withdrawal.table import WithdrawnTable

_log = logging.getLogger(__name__)

# The delay until a list that Redis has lost, or could not accept, is written again.
RECONCILE_SECONDS = 2.0
_OPERATION = "read_withdrawn"


class WithdrawnPublisher:
    """Writes the list as a whole, so that a reader sees either the old one or the new one."""

    def __init__(
        self,
        redis: AnyRedis,
        faults: RedisFaults,
        table: WithdrawnTable,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.published: int | None = None
        self._redis = redis
        self._faults = faults
        self._table = table
        self._metrics = metrics
        self._clock = clock
        self._sequence = 0
        self._lock = asyncio.Lock()
        self._recoveries = monitoring.Recoveries("pipeline.database")

    async def publish(self) -> None:
        """Make the list in Redis equal to the table; raises `WithdrawalsUnavailableError` or a Redis error."""
        async with self._lock:
            try:
                with self._faults.report_faults():
                    self.published = await self._publish()
            except (WithdrawalsUnavailableError, *REDIS_ERRORS):
                self.published = None
                raise
            self._metrics.withdrawn.set(self.published)

    async def try_publish(self) -> bool:
        """Try to publish now, and return whether it succeeded; otherwise `step` retries."""
        try:
            await self.publish()
        except (WithdrawalsUnavailableError, *REDIS_ERRORS):
            return False
        return True

    async def step(self) -> None:
        """Reconcile; a fault is reported, and the next step retries."""
        try:
            await self.publish()
        except WithdrawalsUnavailableError as error:
            self._recoveries.note_failure(database=SCHEMA, operation=_OPERATION)
            monitoring.report(
                "pipeline.database", error=error.__cause__ or error, database=SCHEMA, operation=_OPERATION
            )
        except REDIS_ERRORS:
            return  # reported
        else:
            self._recoveries.note_success(database=SCHEMA, operation=_OPERATION)

    async def _publish(self) -> int:
        """Write until the list equals the table, and return its length.

        The written list is compared once more, because another worker may have changed the table and the list in
        between.
        """
        while True:
            ids = await run_in_threadpool(self._table.ids)
            current = await self._current()
            if current is not None and current.holds(ids):
                return len(ids)
            before = max(self._sequence, 0 if current is None else current.sequence)
            # From the clock, so that it keeps growing even if Redis has lost the list and this process is new.
            self._sequence = max(int(self._clock() * 1e6), before + 1)
            await self._redis.set(redis_keys.WITHDRAWN, WithdrawnList.of(self._sequence, ids).pack())
            _log.info("%d datasets are withdrawn", len(ids))

    async def _current(self) -> WithdrawnList | None:
        # GET of another type is an error; SET replaces it.
        data: Any = (await get_many(self._redis, [redis_keys.WITHDRAWN]))[0]
        if data is None:
            return None
        try:
            return WithdrawnList.unpack(data)
        except MalformedListError as error:
            _log.warning("%s: the list is written again", error)
            return None
