"""`GET /health`: the state of the worker and its dependencies, within a second whatever hangs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from contracts.redis_keys import SNAPSHOT_CREATED
from feature_sync.connections import REDIS_ERRORS
from feature_sync.events.dead_letters import DeadLetters
from feature_sync.events.lag import StreamLag
from feature_sync.memory.sampling import MemoryUsage
from feature_sync.snapshots.age import SnapshotAge
from feature_sync.snapshots.switch import SnapshotSwitch
from servicekit.background import BackgroundLoops
from servicekit.database_calls import DatabaseTimeoutError
from servicekit.health import Check, Status

# A hung server doesn't answer; the health check has to report that in time.
CHECK_SECONDS = 0.7

Checks = dict[str, Check]


class BoundedCheck:
    """Runs a check for at most `CHECK_SECONDS`, one at a time: while a server hangs, calls don't pile up."""

    def __init__(self, check: Callable[[], Awaitable[Checks]], hung: Checks) -> None:
        self._check = check
        self._hung = hung
        self._running: asyncio.Future[Checks] | None = None

    async def run(self) -> Checks:
        """Return the checks; `hung` if there is no answer in time."""
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self._check())
        done, _ = await asyncio.wait([self._running], timeout=CHECK_SECONDS)
        return self._running.result() if done else self._hung


@dataclass(frozen=True)
class Measured:
    """What loops measure: these checks ask nobody."""

    age: SnapshotAge
    lag: StreamLag
    memory: MemoryUsage

    def checks(self) -> Checks:
        """Return the checks of the snapshot's age, the lag and the memory."""
        return {
            "snapshot": Check(status=_status(self.age.is_exceeded or self.age.is_unreadable), detail=self._snapshot()),
            "events": Check(status=_status(self.lag.is_exceeded), detail=self._events()),
            "memory": Check(status=_status(bool(self.memory.problems)), detail=self.memory.describe()),
        }

    def _snapshot(self) -> str:
        if self.age.version is None:
            return "none yet"
        if self.age.is_unreadable:
            return (
                f"{self.age.version}, of unknown age: {SNAPSHOT_CREATED} holds no Unix time; remove it, and sync again"
            )
        age = "of unknown age" if self.age.seconds is None else f"made {self.age.seconds / 3600:.1f} h ago"
        return f"{self.age.version}, {age}"

    def _events(self) -> str:
        groups = sorted(self.lag.groups.items())
        return ", ".join(f"{name} {lag.seconds:.1f} s behind ({lag.entries})" for name, lag in groups)


def _status(is_degraded: bool) -> Status:
    return "degraded" if is_degraded else "healthy"


class HealthReport:
    """Checks each dependency."""

    def __init__(
        self,
        database_answers: Callable[[], Awaitable[bool]],
        switch: SnapshotSwitch,
        measured: Measured,
        dead_letters: DeadLetters,
        loops: BackgroundLoops,
    ) -> None:
        self._database_answers = database_answers
        self._switch = switch
        self._measured = measured
        self._dead_letters = dead_letters
        self._loops = loops
        silent = Check(status="unhealthy", detail="the database doesn't answer")
        self._checks = [
            BoundedCheck(self._check_database, {"database": silent}),
            BoundedCheck(self._check_redis, {"redis": Check(status="unhealthy", detail="TimeoutError")}),
        ]

    async def checks(self) -> Checks:
        """Return the state of each dependency and of the loops."""
        checks = {"background": self._loops.check(), **self._measured.checks()}
        for each in await asyncio.gather(*(check.run() for check in self._checks)):
            checks |= each
        return checks

    async def _check_database(self) -> Checks:
        try:
            answers = await self._database_answers()
        except DatabaseTimeoutError:
            answers = False
        silent = Check(status="unhealthy", detail="the database doesn't answer")
        return {"database": Check(status="healthy") if answers else silent}

    async def _check_redis(self) -> Checks:
        try:
            detail = f"snapshot {await self._switch.active()}, {self._measured.lag.entries} events waiting"
        except REDIS_ERRORS as error:
            return {"redis": Check(status="unhealthy", detail=type(error).__name__)}
        return {"redis": Check(status="healthy", detail=detail), "dead_letters": await self._check_letters()}

    async def _check_letters(self) -> Check:
        try:
            counts = await self._dead_letters.counts()
        except REDIS_ERRORS as error:
            return Check(status="unhealthy", detail=await self._dead_letters.describe_error(error))
        # A person has to look at dead letters, but the worker is healthy and continues.
        letters = f"{counts.count}, the last: {counts.last_reason}" if counts.count else "none"
        return Check(status="healthy", detail=letters)
