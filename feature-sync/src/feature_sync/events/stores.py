"""The two stores of events, as consumers see them: live features and the event log."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from redis.exceptions import ResponseError

import monitoring
from contracts import redis_keys
from contracts.moments import CLOCK_AHEAD
from feature_sync.connections import REDIS_ERRORS
from feature_sync.events.entries import Entry
from feature_sync.events.forgotten import drop_forgotten
from feature_sync.events.isolation import Fault
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import EventLog, EventsNotTakenError, LogUnavailableError
from feature_sync.events.suspects import Stage
from feature_sync.events.tables import SCHEMA
from feature_sync.marks import MarksChangedError, MarkSource
from feature_sync.metrics import Metrics
from servicekit.database_calls import DatabaseCalls, DatabaseTimeoutError

# A batch takes PostgreSQL some milliseconds. A hung server enforces no timeout of its own.
WRITE_SECONDS = 5.0


class LiveStore:
    """Live features."""

    stage: Stage = "live features"

    def __init__(self, live: LiveFeatures, marks: MarkSource, metrics: Metrics) -> None:
        self._live = live
        self._marks = marks
        self._metrics = metrics

    async def store(self, entries: Sequence[Entry]) -> None:
        """See `EntryStore`."""
        events, _, dropped = drop_forgotten(entries, self._marks.current)
        new = await self._live.apply(events)
        self._metrics.events.labels("applied").inc(new)
        self._metrics.forgotten_events.labels(redis_keys.LIVE_GROUP).inc(dropped)

    def fault_of(self, error: Exception) -> Fault:
        """See `EntryStore`."""
        if isinstance(error, REDIS_ERRORS):
            # Out of memory, read-only, a cluster without a node: redis-py has classes for the states of a server.
            about_a_key = type(error) is ResponseError and str(error).startswith(("WRONGTYPE", "ERR"))
            return Fault.UNDECIDED if about_a_key else Fault.IN_STORE
        return Fault.IN_DATA if isinstance(error, OverflowError | UnicodeError) else Fault.UNDECIDED

    async def takes_others(self, error: Exception, others_stored: bool) -> bool:
        """See `EntryStore`."""
        # An error of our own code gives no evidence about an entry that failed with all others.
        return others_stored or (isinstance(error, ResponseError) and await self._live.takes_writes())


class LogStore:
    """The event log; a write that the database doesn't finish in time is given up, and repeated later.

    `repeats` says that the entries are repeated events. Such a one may be an old one from a clock that is ahead; the
    new ones are in the log already.
    """

    stage: Stage = "event log"

    def __init__(
        self, log: EventLog, calls: DatabaseCalls, marks: MarkSource, metrics: Metrics, *, repeats: bool = False
    ) -> None:
        self._log = log
        self._marks = marks
        self._repeats = repeats
        self._clock_ahead = CLOCK_AHEAD.total_seconds() if repeats else 0.0
        self._calls = calls
        self._metrics = metrics
        self._recoveries = monitoring.Recoveries("pipeline.database")

    async def store(self, entries: Sequence[Entry]) -> None:
        """See `EntryStore`."""
        with self._report_faults():
            logged, dropped = await self._in_time(entries)
        self._metrics.events.labels("logged").inc(logged)
        self._metrics.forgotten_events.labels(redis_keys.LOG_GROUP).inc(dropped)

    def fault_of(self, error: Exception) -> Fault:
        """See `EntryStore`."""
        if isinstance(error, LogUnavailableError):
            return Fault.IN_STORE
        return Fault.IN_DATA if isinstance(error, EventsNotTakenError) and error.lies_in_data else Fault.UNDECIDED

    async def takes_others(self, error: Exception, others_stored: bool) -> bool:  # noqa: ARG002 - of the protocol
        """See `EntryStore`."""
        # An earlier write is no evidence about the database now.
        try:
            takes = await self._calls.run(self._log.takes_events)
        except DatabaseTimeoutError:
            takes = False
        if not takes:
            self._report(error)
            raise LogUnavailableError(str(error)) from error
        return takes

    async def _in_time(self, entries: Sequence[Entry]) -> tuple[int, int]:
        try:
            return await self._calls.run(self._add, entries)
        except DatabaseTimeoutError as error:
            raise LogUnavailableError(str(error)) from error

    def _add(self, entries: Sequence[Entry]) -> tuple[int, int]:
        """Add what counts; return its number, and that of the dropped entries."""
        while True:
            marks = self._marks.current
            events, exposures, dropped = drop_forgotten(entries, marks, clock_ahead=self._clock_ahead)
            try:
                if events or exposures:
                    verify = partial(self._marks.verify, marks=marks)
                    self._log.add(events, verify, exposures=exposures, may_be_repeats=self._repeats)
            except MarksChangedError:
                continue
            return len(events) + len(exposures), dropped

    @contextmanager
    def _report_faults(self) -> Iterator[None]:
        try:
            yield
        except LogUnavailableError as error:
            self._report(error)
            raise
        self._recoveries.note_success(database=SCHEMA, operation="insert_events")

    def _report(self, error: Exception) -> None:
        self._recoveries.note_failure(database=SCHEMA, operation="insert_events")
        monitoring.report(
            "pipeline.database", error=error.__cause__ or error, database=SCHEMA, operation="insert_events"
        )
