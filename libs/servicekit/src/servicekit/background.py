"""Loops beside the requests: supervised, restarted with backoff, and seen in `/health`."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import monitoring
from servicekit.health import Check
from servicekit.stalls import TICK_SECONDS, StallWatch

_log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 30.0
# A step may wait for work for as long as there is none: after this time without a failure it works.
HEALTHY_AFTER_SECONDS = 60.0
# On Python 3.11 a cancel that meets a finished inner future is lost in `asyncio.wait_for`.
CANCEL_AGAIN_SECONDS = 0.1

Step = Callable[[], Awaitable[object]]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class LoopState:
    """How a loop is; moments are seconds of the supervisor's clock, None before the first one."""

    name: str
    started_at: float | None = None
    last_success: float | None = None
    failing_since: float | None = None
    last_error: str | None = None
    consecutive_failures: int = 0
    ended: bool = False


class SupervisedLoop:
    """Runs `step` again and again. What it raises is reported, and it is started again after a growing pause."""

    def __init__(
        self,
        name: str,
        step: Step,
        *,
        interval: float = 0.0,
        max_backoff: float = MAX_BACKOFF_SECONDS,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        recent_stall: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.state = LoopState(name)
        self._recent_stall = recent_stall
        self._step = step
        self._interval = interval
        self._max_backoff = max_backoff
        self._sleep = sleep
        self._clock = clock

    @property
    def is_failing(self) -> bool:
        """Whether the last step failed, and the one that runs now is too young to tell."""
        state = self.state
        if state.ended:
            return True
        if not state.consecutive_failures:
            return False
        return state.started_at is None or self._clock() - state.started_at < HEALTHY_AFTER_SECONDS

    def is_stuck(self, seconds: float) -> bool:
        """Whether a step has run for longer than so many seconds."""
        state = self.state
        if state.started_at is None or (state.last_success is not None and state.last_success >= state.started_at):
            return False
        return self._clock() - state.started_at > seconds

    def describe(self) -> str:
        """Return what is wrong, for `/health`."""
        state = self.state
        if state.ended:
            return f"{state.name} has ended ({state.last_error})"
        seconds = self._clock() - (state.failing_since or self._clock())
        return f"{state.name} has failed {state.consecutive_failures} times in {seconds:.0f} s ({state.last_error})"

    async def run(self) -> None:
        """Go on until this task is cancelled, even if the step swallows the cancel."""
        while not _is_cancelled():
            self.state.started_at = self._clock()
            try:
                await self._step()
            except asyncio.CancelledError as error:
                if _is_cancelled():
                    raise
                # Something that the step waited for was cancelled, and not this loop.
                await self._failed(error)
            except Exception as error:  # noqa: BLE001 - the loop must outlive whatever one step runs into
                await self._failed(error)
            else:
                self._succeeded()
            if self._interval:
                await self._sleep(self._interval)

    def _succeeded(self) -> None:
        state = self.state
        if state.consecutive_failures:
            _log.info("background loop %s works again", state.name)
        state.last_success = self._clock()
        state.failing_since = None
        state.consecutive_failures = 0

    async def _failed(self, error: BaseException) -> None:
        state, now = self.state, self._clock()
        if state.started_at is not None and now - state.started_at >= HEALTHY_AFTER_SECONDS:
            self._succeeded()
        if not state.consecutive_failures:
            state.failing_since = now
        state.consecutive_failures += 1
        state.last_error = type(error).__name__
        # Until the next step starts, nothing says that it works.
        state.started_at = None
        if state.consecutive_failures == 1 and self._recent_stall() is not None:
            # A failure that lasts is reported by the next try, whether that follows another stall or not.
            _log.warning("background loop %s failed after a stall of this process: %s", state.name, state.last_error)
        else:
            report_failure(state.name, error)
        await self._sleep(backoff(state.consecutive_failures, self._max_backoff))


class BackgroundLoops:
    """All loops of a service; `stalls` says whether a failure may be this process's own."""

    def __init__(self, *, sleep: Sleep = asyncio.sleep, clock: Callable[[], float] = time.monotonic) -> None:
        self._sleep = sleep
        self._clock = clock
        # Of real time: the clock of a test may leap.
        self.stalls = StallWatch()
        self._loops: list[SupervisedLoop] = []
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, name: str, step: Step, *, interval: float = 0.0, max_backoff: float = MAX_BACKOFF_SECONDS) -> None:
        """Add a loop; it begins with `running`."""
        self._loops.append(
            SupervisedLoop(
                name,
                step,
                interval=interval,
                max_backoff=max_backoff,
                sleep=self._sleep,
                clock=self._clock,
                recent_stall=self.stalls.recent,
            )
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run all loops for the length of a block."""
        for each in self._loops:
            task = asyncio.create_task(each.run(), name=f"background {each.state.name}")
            task.add_done_callback(lambda task, loop=each: _note_end(task, loop))  # type: ignore[misc]  # `loop` is bound now
            self._tasks.append(task)
        self._tasks.append(asyncio.create_task(self._watch_stalls(), name="stalls"))
        try:
            yield
        finally:
            await cancel_all(self._tasks)
            self._tasks.clear()

    async def _watch_stalls(self) -> None:
        while not _is_cancelled():
            self.stalls.note_tick()
            # Not the injected sleep: a test about hours has no stalls.
            await asyncio.sleep(TICK_SECONDS)

    def states(self) -> list[LoopState]:
        """Return how each loop is."""
        return [each.state for each in self._loops]

    def stuck(self, seconds: float) -> list[str]:
        """Return the names of the loops whose step has run for longer than so many seconds."""
        return [each.state.name for each in self._loops if each.is_stuck(seconds)]

    def check(self) -> Check:
        """Return the check `background` of `/health`: it names the loops that fail."""
        failing = [each.describe() for each in self._loops if each.is_failing]
        if failing:
            return Check(status="degraded", detail="; ".join(failing))
        return Check(status="healthy", detail=f"{len(self._loops)} loops")


def backoff(failures: int, most: float = MAX_BACKOFF_SECONDS) -> float:
    """Return how long to pause (s) after so many failures in a row."""
    return float(min(most, FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 16)))


def report_failure(loop: str, error: BaseException) -> None:
    """Report an unexpected failure of background work."""
    monitoring.report("api.background_failed", error=error, loop=loop)


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks, again and again until all are done; what they raise at their end is theirs."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _note_end(task: asyncio.Task[None], loop: SupervisedLoop) -> None:
    # A loop ends by being cancelled, or by what no loop survives (SystemExit).
    if task.cancelled() or (error := task.exception()) is None:
        return
    loop.state.ended = True
    loop.state.last_error = type(error).__name__
    report_failure(loop.state.name, error)
