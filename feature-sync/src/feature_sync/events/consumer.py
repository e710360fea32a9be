"""The consumer of behaviour events: it applies an entry to live features, then logs it, and then it is done."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from redis.exceptions import ResponseError

import monitoring
from feature_sync.connections import REDIS_ERRORS, RedisFaults
from feature_sync.events.dead_letters import DeadLetters
from feature_sync.events.entries import DeadLetter, Entry, RawEntry, decode
from feature_sync.events.findings import DROPPED, UNREADABLE, EventFindings
from feature_sync.events.isolation import Fault, isolate
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import SCHEMA, EventLog, EventsNotTakenError, LogUnavailableError
from feature_sync.events.stream import FIRST, EventStream, position
from feature_sync.events.suspects import Suspects
from feature_sync.metrics import Metrics
from servicekit.background import report_failure

_log = logging.getLogger(__name__)

# After a fault the queue can wait: the events are safe in the stream.
PAUSE_SECONDS = 1.0
# How long the log waits for newly applied entries before it looks for entries of dead consumers.
IDLE_SECONDS = 1.0


class EventConsumer:
    """Takes behaviour events from the stream, in two loops of one process.

    `apply_new` takes entries and applies them to live features, `log_applied` writes them to the database and removes
    them from the stream. So without PostgreSQL live features continue, and entries wait in the stream. An entry may be
    delivered twice, and counts once. An entry that cannot be processed is isolated, and becomes a dead letter.
    """

    def __init__(
        self,
        stream: EventStream,
        live: LiveFeatures,
        log: EventLog,
        dead_letters: DeadLetters,
        *,
        faults: RedisFaults,
        metrics: Metrics,
        suspects: Suspects | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        idle_seconds: float = IDLE_SECONDS,
        findings: EventFindings | None = None,
    ) -> None:
        self._stream = stream
        self._live = live
        self._log = log
        self._dead_letters = dead_letters
        self._faults = faults
        self._metrics = metrics
        self._suspects = Suspects() if suspects is None else suspects
        self._findings = EventFindings() if findings is None else findings
        self._sleep = sleep
        self._idle_seconds = idle_seconds
        self._recoveries = monitoring.Recoveries("pipeline.database")
        # All our entries up to here are applied; after a restart or a fault the later ones are processed again.
        self._applied_to = FIRST
        self._caught_up = False
        self._applied = asyncio.Event()
        # The position of the log in the unfinished entries.
        self._logged_to = FIRST

    async def apply_new(self) -> None:
        """Apply new entries to live features; wait up to a second if there are none."""
        await self._survives(self._apply_new)

    async def log_applied(self) -> None:
        """Write a batch of applied entries to the database; if there are none, wait a little."""
        if await self._survives(self._log_applied):
            self._findings.note_progress()
        else:
            self._logged_to = FIRST

    async def _survives(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Run a step; after a fault of Redis or the database, wait a little. Return whether there was no fault."""
        try:
            with self._faults.report_faults():
                await step()
        except ResponseError as error:
            if str(error).startswith("NOGROUP"):
                _log.warning("the event stream's consumer group is missing and is created again")
                self._applied_to, self._caught_up = FIRST, False
            await self._sleep(PAUSE_SECONDS)
            return False
        except (*REDIS_ERRORS, LogUnavailableError):
            await self._sleep(PAUSE_SECONDS)
            return False
        return True

    async def _apply_new(self) -> None:
        await self._stream.prepare()
        while not self._caught_up:
            unfinished = await self._stream.pending(self._applied_to)
            await self._apply_taken(unfinished)
            self._caught_up = not unfinished
        # Entries taken now are unfinished until they are applied, even if something fails meanwhile.
        self._caught_up = False
        await self._apply_taken(await self._stream.take())
        self._caught_up = True
        self._metrics.lag.set(await self._stream.length())

    async def _apply_taken(self, taken: Sequence[RawEntry]) -> None:
        if not taken:
            return
        await self._apply(await self._readable(taken))
        self._applied_to = max(self._applied_to, taken[-1][0], key=position)
        self._applied.set()

    async def _log_applied(self) -> None:
        await self._stream.prepare()
        taken = await self._stream.pending(self._logged_to)
        ready = [each for each in taken if position(each[0]) <= position(self._applied_to)]
        if ready:
            self._logged_to = ready[-1][0]
            await self._finish(await self._readable(ready))
            return
        self._logged_to = FIRST
        if claimed := await self._stream.claim():
            readable = await self._readable(claimed)
            await self._apply(readable)
            await self._finish(readable)
            return
        self._applied.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._idle_seconds):
                await self._applied.wait()

    async def _readable(self, taken: Sequence[RawEntry]) -> list[Entry]:
        decoded = decode(taken)
        if decoded.deleted:
            _log.warning("%d stream entries were deleted before they were logged", len(decoded.deleted))
            await self._stream.done(decoded.deleted)
            self._metrics.events.labels("deleted").inc(len(decoded.deleted))
        await self._reject(decoded.unreadable)
        return decoded.entries

    async def _apply(self, entries: Sequence[Entry]) -> None:
        """Apply entries to live features; those that fail alone become suspects."""
        # Exposures are left out: if Redis accepted none of them, isolation would conclude that it accepts others.
        of_interest = [entry for entry in entries if any(event.type != "exposure" for event in entry.events)]
        applied = await isolate(
            of_interest, self._apply_at_once, fault_of=_fault_of_live, takes_others=self._live_takes_others
        )
        self._suspects.clear(entry.id for entry in applied.done if self._suspects.failed_in(entry, "live features"))
        await self._reject(self._suspects.count("live features", applied.failed))

    async def _live_takes_others(self, error: Exception, others_applied: bool) -> bool:
        # An error of our own code gives no evidence about an entry that failed with all others.
        return others_applied or (isinstance(error, ResponseError) and await self._live.takes_writes())

    async def _apply_at_once(self, entries: Sequence[Entry]) -> None:
        new = await self._live.apply([event for entry in entries for event in entry.events])
        self._metrics.events.labels("applied").inc(new)

    async def _finish(self, entries: Sequence[Entry]) -> None:
        """Write entries to the database and remove them; those that fail alone become suspects."""
        due = [entry for entry in entries if self._suspects.is_due(entry)]
        not_applied = [entry for entry in due if self._suspects.failed_in(entry, "live features")]
        if not_applied:
            # Written only once they are applied, so that a dead letter is in no other store.
            await self._apply_again(not_applied)
            due = [entry for entry in due if entry not in not_applied]
        with self._report_database_faults():
            written = await isolate(due, self._write, fault_of=_fault_of_log, takes_others=self._log_takes_others)
        done = [entry.id for entry in written.done]
        await self._stream.done(done)
        self._suspects.clear(done)
        self._metrics.events.labels("logged").inc(sum(len(entry.events) for entry in written.done))
        await self._reject(self._suspects.count("event log", written.failed))
        self._metrics.suspects.set(len(self._suspects))

    async def _apply_again(self, entries: Sequence[Entry]) -> None:
        try:
            await self._apply(entries)
        except REDIS_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - it may be any error, but it must not hold up the log
            self._suspects.postpone(entries)
            report_failure("live features", error)

    async def _write(self, entries: Sequence[Entry]) -> None:
        events = [event for entry in entries for event in entry.events]
        if events:
            await asyncio.to_thread(self._log.add, events)

    async def _log_takes_others(self, _error: Exception, _others_written: bool) -> bool:
        # An earlier write is no evidence about the database now.
        return await asyncio.to_thread(self._log.takes_events)

    @contextmanager
    def _report_database_faults(self) -> Iterator[None]:
        try:
            yield
        except (LogUnavailableError, EventsNotTakenError) as error:
            self._recoveries.note_failure(database=SCHEMA, operation="insert_events")
            monitoring.report(
                "pipeline.database", error=error.__cause__ or error, database=SCHEMA, operation="insert_events"
            )
            raise LogUnavailableError(str(error)) from error
        self._recoveries.note_success(database=SCHEMA, operation="insert_events")

    async def _reject(self, letters: Sequence[DeadLetter]) -> None:
        """Make entries dead letters, each once: first added there, then removed from the stream."""
        if not letters:
            return
        pushed_out = await self._dead_letters.add(letters)
        ids = [letter.id for letter in letters]
        await self._stream.done(ids)
        await self._dead_letters.drop_markers(letters)
        self._suspects.clear(ids)
        self._metrics.events.labels("rejected").inc(len(letters))
        self._findings.found(UNREADABLE, letters[0].reason, len(letters))
        if pushed_out:
            self._metrics.dead_letters_dropped.inc(pushed_out)
            self._findings.found(DROPPED, f"{pushed_out} dead letters were dropped for newer ones", pushed_out)


def _fault_of_live(error: Exception) -> Fault:
    if isinstance(error, REDIS_ERRORS):
        # Out of memory, read-only, a cluster without a node: redis-py has classes for the states of a server.
        about_a_key = type(error) is ResponseError and str(error).startswith(("WRONGTYPE", "ERR"))
        return Fault.UNDECIDED if about_a_key else Fault.IN_STORE
    return Fault.IN_DATA if isinstance(error, OverflowError | UnicodeError) else Fault.UNDECIDED


def _fault_of_log(error: Exception) -> Fault:
    if isinstance(error, LogUnavailableError):
        return Fault.IN_STORE
    return Fault.IN_DATA if isinstance(error, EventsNotTakenError) and error.lies_in_data else Fault.UNDECIDED
