"""One connection to Redis that all calls share: commands are sent as they come, answers arrive in the same order.

A connection pool lends each call a connection for the whole round trip; with hiredis on one connection a call costs a
third of that.
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

# Redis answers, but is unusable: wrong credentials, still loading, or no master.
_UNAVAILABLE = {
    "NOAUTH": "AuthenticationError",
    "WRONGPASS": "AuthenticationError",
    "LOADING": "BusyLoadingError",
    "MASTERDOWN": "MasterDownError",
    "CLUSTERDOWN": "ClusterDownError",
}
_REFUSED = {"READONLY": "ReadOnlyError", "OOM": "OutOfMemoryError", "NOPERM": "NoPermissionError"}


class Endpoint(NamedTuple):
    """The address of a server; if `ssl` is None, plain TCP is used."""

    host: str
    port: int
    ssl: SSLContext | None = None


def static_address(endpoint: Endpoint) -> Callable[[], Awaitable[Endpoint]]:
    """Return an address lookup for a server that doesn't move."""

    async def find() -> Endpoint:
        return endpoint

    return find


class MultiplexedConnection:
    """Connects at the first call, and again after the connection is lost or reset."""

    def __init__(
        self, find: Callable[[], Awaitable[Endpoint]], greeting: Sequence[Command], *, connect_timeout: float
    ) -> None:
        """Take the address lookup and the first commands of a connection: credentials, database."""
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
        # Shielded: if one caller gives up, the connection stays for the others.
        connecting = self._connection()
        try:
            wire = await wait_within(budget, asyncio.shield(connecting))
        except asyncio.CancelledError as error:
            if not connecting.cancelled():
                raise
            raise StoreUnavailableError("the connection was closed while it was opened", "ConnectionError") from error
        return await wire.send(commands, max(deadline - clock(), 0.0))

    def reset(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None

    async def close(self) -> None:
        """Close the connection, and wait until it is closed."""
        wire = self._wire
        self.reset()
        if wire is not None:
            await wire.wait_closed()

    def _connection(self) -> asyncio.Task["_Wire"]:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="redis-connect")
            self._connecting.add_done_callback(self._on_connected)
        return self._connecting

    def _on_connected(self, task: asyncio.Task["_Wire"]) -> None:
        if task is self._connecting:
            self._connecting = None
        if not task.cancelled():
            task.exception()  # the waiting calls have got the error; there may be no caller left

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
        # All calls of one turn of the loop are sent by one write: writing is most of a call's cost.
        self._unsent: list[_Call] = []
        self._unwritten: list[bytes] = []
        # One timer for all calls, at the earliest deadline that was known when it was set.
        self._alarm: asyncio.Handle | None = None
        self._due = 0.0

    def send(self, commands: Sequence[Command], budget: float) -> asyncio.Future[list[Any]]:
        """Write commands; the future gets their answers, the first error among them, or a timeout error."""
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(_Call(future, len(commands), budget))
        for command in commands:
            self._unwritten.append(hiredis.pack_command(command))
        return future

    def close(self) -> None:
        """Abort the connection."""
        self.is_open = False
        self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
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
                self._on_answer(answer)
        except hiredis.HiredisError as error:
            self._fail(StoreUnavailableError(str(error), "InvalidResponse"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.is_open = False
        self._lost.set()
        self._fail(StoreUnavailableError(str(exc or "connection closed by server"), "ConnectionError"))

    def _on_answer(self, answer: object) -> None:
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
        # The budget starts here: if this process stalls before it writes, Redis isn't slow.
        now = self._loop.time()
        due = inf
        for call in calls:
            call.deadline = now + call.budget
            due = min(due, call.deadline)
        self._waiting.extend(calls)
        if not self.is_open:
            # A server, or a proxy, that accepts a connection and drops it; uvloop rejects the write.
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
        """Fail the calls whose deadline has passed; answers that arrive later are discarded."""
        if self._loop.time() - self._due > LATE_SECONDS:
            # See `deadline`: answers that have arrived meanwhile are read first.
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
    """The commands of one call, and the deadline of their answers, which is set when they are written."""

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
