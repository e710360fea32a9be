"""One connection to Redis that all calls share: commands go out as they come, answers come back in their order.

A pool lends each call a connection and awaits its answer there; with hiredis on one connection a call costs a third.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from ssl import SSLContext
from typing import Any, NamedTuple, cast

import hiredis

from recommender_api.redis_store.deadline import LATE_SECONDS, timeout_error, wait_within
from recommender_api.redis_store.port import StoreError, StoreRefusedError, StoreUnavailableError

Command = tuple[Any, ...]  # of str, bytes and int

# Redis answers, but can't be worked with: wrong credentials, still loading, or no master behind it.
_UNAVAILABLE = {
    "NOAUTH": "AuthenticationError",
    "WRONGPASS": "AuthenticationError",
    "LOADING": "BusyLoadingError",
    "MASTERDOWN": "MasterDownError",
    "CLUSTERDOWN": "ClusterDownError",
}
_REFUSED = {"READONLY": "ReadOnlyError", "OOM": "OutOfMemoryError", "NOPERM": "NoPermissionError"}


class Endpoint(NamedTuple):
    """Where to connect; `ssl` None is plain TCP."""

    host: str
    port: int
    ssl: SSLContext | None = None


def static_address(endpoint: Endpoint) -> Callable[[], Awaitable[Endpoint]]:
    """Return what finds a server that doesn't move."""

    async def find() -> Endpoint:
        return endpoint

    return find


class MultiplexedConnection:
    """Connects when it is first needed, and again after the connection is lost or reset."""

    def __init__(
        self, find: Callable[[], Awaitable[Endpoint]], greeting: Sequence[Command], *, connect_timeout: float
    ) -> None:
        """Take who finds the server, and what is said to it first: credentials, database."""
        self._find = find
        self._greeting = greeting
        self._connect_timeout = connect_timeout
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[_Wire] | None = None

    def call(self, commands: Sequence[Command], budget: float) -> Awaitable[list[Any]]:
        """Send commands and return their answers within `budget` (s), connecting included; raises `StoreError`."""
        wire = self._wire
        return self._call_anew(commands, budget) if wire is None or not wire.is_open else wire.send(commands, budget)

    async def _call_anew(self, commands: Sequence[Command], budget: float) -> list[Any]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + budget
        # Shielded: a caller that gives up does not take the others' connection along.
        connecting = self._connection()
        try:
            wire = await wait_within(budget, asyncio.shield(connecting))
        except asyncio.CancelledError as error:
            if not connecting.cancelled():
                raise
            raise StoreUnavailableError("the connection was given up while it was made", "ConnectionError") from error
        return await wire.send(commands, max(deadline - clock(), 0.0))

    def reset(self) -> None:
        """Let go of the connection: the next call makes a new one."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None

    async def close(self) -> None:
        """Let go of the connection, and wait until it is gone."""
        wire = self._wire
        self.reset()
        if wire is not None:
            await wire.closed()

    def _connection(self) -> asyncio.Task["_Wire"]:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="redis-connect")
            self._connecting.add_done_callback(self._connected)
        return self._connecting

    def _connected(self, task: asyncio.Task["_Wire"]) -> None:
        if task is self._connecting:
            self._connecting = None
        if not task.cancelled():
            task.exception()  # whoever waited has been told; nobody may be left to ask

    async def _connect(self) -> "_Wire":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                host, port, ssl = await self._find()
                _, wire = await loop.create_connection(
                    _Wire, host, port, ssl=ssl, server_hostname=host if ssl is not None else None
                )
                try:
                    if self._greeting:
                        await wire.send(self._greeting, self._connect_timeout)
                except BaseException:
                    wire.close()
                    raise
        except TimeoutError as error:
            raise StoreUnavailableError("no connection in time", "TimeoutError") from error
        except OSError as error:
            raise StoreUnavailableError(str(error), "ConnectionError") from error
        self._wire = wire
        return wire


class _Wire(asyncio.Protocol):
    """An open connection."""

    def __init__(self) -> None:
        self.is_open = False
        self._reader = hiredis.Reader(replyError=_error)
        self._waiting: deque[_Call] = deque()
        self._lost = asyncio.Event()
        # The calls of one turn of the loop: writing is most of a call's cost, and one does for all.
        self._unsent: list[_Call] = []
        self._unwritten: list[bytes] = []
        # One timer for all calls, at the earliest deadline that was known when it was set.
        self._alarm: asyncio.Handle | None = None
        self._due = 0.0

    def send(self, commands: Sequence[Command], budget: float) -> asyncio.Future[list[Any]]:
        """Write commands; the future gets their answers, or the first that is an error, or what says it took longer."""
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(_Call(future, len(commands), budget))
        for command in commands:
            self._unwritten.append(hiredis.pack_command(command))
        return future

    def close(self) -> None:
        """Break the connection off."""
        self.is_open = False
        self._transport.abort()

    async def closed(self) -> None:
        """Wait until nothing of it is left."""
        await self._lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self._answered(answer)
        except hiredis.HiredisError as error:
            self._fail(StoreUnavailableError(str(error), "InvalidResponse"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.is_open = False
        self._lost.set()
        self._fail(StoreUnavailableError(str(exc or "connection closed by server"), "ConnectionError"))

    def _answered(self, answer: object) -> None:
        first = self._waiting[0]
        first.answers.append(answer)
        if len(first.answers) < first.expected:
            return
        self._waiting.popleft()
        if first.future.done():  # its caller has given up
            return
        for each in first.answers:
            if isinstance(each, StoreError):
                first.future.set_exception(each)
                return
        first.future.set_result(first.answers)

    def _flush(self) -> None:
        calls, self._unsent = self._unsent, []
        packed, self._unwritten = self._unwritten, []
        # The time runs from here: a process that stalls before it writes must not take that for a slow Redis.
        now = self._loop.time()
        due = inf
        for call in calls:
            call.deadline = now + call.budget
            due = min(due, call.deadline)
        self._waiting.extend(calls)
        if not self.is_open:
            # A server, or what stands before it, that takes a connection and drops it; uvloop refuses the write.
            self._fail(StoreUnavailableError("connection closed by server", "ConnectionError"))
            return
        self._wake_by(due)
        self._transport.write(b"".join(packed))

    def _wake_by(self, deadline: float) -> None:
        if self._alarm is not None:
            if self._due <= deadline:
                return
            self._alarm.cancel()
        self._due = deadline
        self._alarm = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        """Give up the calls whose time is over; an answer that still comes finds nobody waiting."""
        if self._loop.time() - self._due > LATE_SECONDS:
            # See `deadline`: what was read meanwhile comes first.
            self._alarm = self._loop.call_later(LATE_SECONDS, self._give_up)
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._alarm = None
        now = self._loop.time()
        for waiting in self._waiting:
            if waiting.future.done():
                continue
            if waiting.deadline <= now:
                waiting.future.set_exception(timeout_error(waiting.budget))
            else:
                self._wake_by(waiting.deadline)

    def _fail(self, error: StoreUnavailableError) -> None:
        for waiting in self._waiting:
            if not waiting.future.done():
                waiting.future.set_exception(error)
        self._waiting.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


class _Call:
    """So many commands whose answers are expected by the deadline, which is set when they are written."""

    __slots__ = ("answers", "budget", "deadline", "expected", "future")

    def __init__(self, future: asyncio.Future[list[Any]], expected: int, budget: float) -> None:
        self.future = future
        self.expected = expected
        self.budget = budget
        self.deadline = inf
        self.answers: list[Any] = []


def _error(message: str) -> StoreError:
    kind = message.partition(" ")[0]
    if kind in _UNAVAILABLE:
        return StoreUnavailableError(message, _UNAVAILABLE[kind])
    return StoreRefusedError(message, _REFUSED.get(kind, "ResponseError"))
