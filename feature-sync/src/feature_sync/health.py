"""`GET /health`: the state of the worker and its dependencies."""

import asyncio
from collections.abc import Callable

from feature_sync.connections import REDIS_ERRORS
from feature_sync.events.dead_letters import DeadLetters
from feature_sync.events.stream import EventStream
from feature_sync.snapshots.switch import SnapshotSwitch
from servicekit.background import BackgroundLoops
from servicekit.health import Check

# A hung server doesn't answer; the health check has to report that in time.
DATABASE_SECONDS = 2.0


class HealthReport:
    """Checks each dependency."""

    def __init__(
        self,
        database_answers: Callable[[], bool],
        switch: SnapshotSwitch,
        stream: EventStream,
        dead_letters: DeadLetters,
        loops: BackgroundLoops,
    ) -> None:
        self._database_answers = database_answers
        self._switch = switch
        self._stream = stream
        self._dead_letters = dead_letters
        self._loops = loops
        self._asking: asyncio.Task[bool] | None = None

    async def checks(self) -> dict[str, Check]:
        """Return the state of each dependency and of the loops."""
        checks = {"database": await self._database(), "background": self._loops.check()}
        try:
            detail = f"snapshot {await self._switch.active()}, {await self._stream.length()} events waiting"
            checks["redis"] = Check(status="healthy", detail=detail)
            checks["dead_letters"] = await self._check_dead_letters()
        except REDIS_ERRORS as error:
            checks["redis"] = Check(status="unhealthy", detail=type(error).__name__)
        return checks

    async def _database(self) -> Check:
        # One check at a time: while the database hangs, each would hold a thread.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._database_answers))
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                answers = await asyncio.shield(self._asking)
        except TimeoutError:
            answers = False
        return Check(status="healthy") if answers else Check(status="unhealthy", detail="the database doesn't answer")

    async def _check_dead_letters(self) -> Check:
        # A person has to look at them, but the worker is healthy and continues.
        counts = await self._dead_letters.counts()
        detail = f"{counts.count}, the last: {counts.last_reason}" if counts.count else "none"
        return Check(status="healthy", detail=detail)
