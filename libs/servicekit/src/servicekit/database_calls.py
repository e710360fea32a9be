"""Calls to the database with a deadline on this side: a server that hangs enforces none."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import dup
from typing import Any, TypeVar
from weakref import WeakSet

from sqlalchemy import Engine, event

from servicekit.stalls import finishes_within

T = TypeVar("T")


class DatabaseTimeoutError(RuntimeError):
    """The call was given up; the database may have done it or not, so it must be safe to repeat."""


class DatabaseCalls:
    """Runs blocking calls on an engine of their own, one at a time, each for at most `seconds`.

    A call that takes longer is interrupted: its connection is shut down, so its thread doesn't stay. The thread is this
    object's own: calls that hang take no thread from others. Time in which this process was stopped doesn't count.
    """

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._engine = engine
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._connections: WeakSet[Any] = WeakSet()
        event.listen(engine, "connect", self._note_connection)

    async def run(self, call: Callable[..., T], *arguments: object) -> T:
        """Return what a call returns; raises `DatabaseTimeoutError`."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, lambda: call(*arguments))
        # What a call raises that nobody waits for any more is nobody's.
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        if not await finishes_within(self._seconds, running):
            running.cancel()
            self._interrupt()
            raise DatabaseTimeoutError(f"the database didn't answer within {self._seconds:g} s")
        return running.result()

    def close(self) -> None:
        """End the thread and close the connections; a call that runs is interrupted."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._interrupt()
        self._engine.dispose()

    def _note_connection(self, connection: Any, _record: object) -> None:
        # SQLite's connections have no socket, and wait for locks no longer than their own timeout.
        if hasattr(connection, "fileno"):
            self._connections.add(connection)

    def _interrupt(self) -> None:
        for connection in list(self._connections):
            # A connection that is closed by now.
            with (
                suppress(OSError, self._engine.dialect.loaded_dbapi.Error),
                socket.socket(fileno=dup(connection.fileno())) as shared,
            ):
                shared.shutdown(socket.SHUT_RDWR)
