"""The consumer: live features first, for the next answer; then the log; only then is an entry done."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from redis.exceptions import ResponseError
from starlette.concurrency import run_in_threadpool

import monitoring
from feature_sync.connections import REDIS_ERRORS, RedisFaults
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import SCHEMA, EventLog, LogUnavailableError
from feature_sync.events.stream import Batch, EventStream
from feature_sync.metrics import Metrics

_log = logging.getLogger(__name__)

# After a fault the queue can wait; the events are safe where they are.
PAUSE_SECONDS = 1.0


class EventConsumer:
    """Takes behaviour events from the stream.

    With PostgreSQL down live features go on, and entries stay in the stream until it takes them. With Redis down
    there is nothing to take. An entry may be taken twice, and counts once.
    """

    def __init__(
        self,
        stream: EventStream,
        live: LiveFeatures,
        log: EventLog,
        faults: RedisFaults,
        metrics: Metrics,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stream = stream
        self._live = live
        self._log = log
        self._faults = faults
        self._metrics = metrics
        self._sleep = sleep
        self._log_is_down = False

    async def step(self) -> None:
        """Work off one batch; after a fault, wait a little."""
        try:
            with self._faults.reported():
                await self._step()
        except ResponseError as error:
            if str(error).startswith("NOGROUP"):
                _log.warning("the event stream's group is gone, and is made again")
            await self._sleep(PAUSE_SECONDS)
        except (*REDIS_ERRORS, LogUnavailableError):
            await self._sleep(PAUSE_SECONDS)

    async def _step(self) -> None:
        await self._stream.prepare()
        batch = await self._stream.unfinished()
        if not len(batch):
            batch = await self._stream.take()
        self._metrics.lag.set(await self._stream.length())
        if not len(batch):
            return
        await self._stream.reject(batch)
        self._report_rejected(batch)
        self._metrics.events.labels("applied").inc(await self._live.apply(batch.events))
        if batch.events:
            await self._write(batch)
        await self._stream.done(batch)
        self._metrics.events.labels("logged").inc(len(batch.events))

    async def _write(self, batch: Batch) -> None:
        try:
            await run_in_threadpool(self._log.add, batch.events)
        except LogUnavailableError as error:
            self._log_is_down = True
            monitoring.report(
                "pipeline.database",
                error=error.__cause__ or error,
                database=SCHEMA,
                operation="insert_events",
                waiting=await self._stream.length(),
            )
            raise
        if self._log_is_down:
            self._log_is_down = False
            monitoring.recovered("pipeline.database", database=SCHEMA, operation="insert_events")

    def _report_rejected(self, batch: Batch) -> None:
        if not batch.rejected:
            return
        self._metrics.events.labels("rejected").inc(len(batch.rejected))
        monitoring.report(
            "pipeline.data_quality",
            check_name="stream_entry",
            severity="warning",
            details=batch.rejected[0][2],
            metric_value=len(batch.rejected),
            threshold=0,
        )
