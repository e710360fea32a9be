"""Callers that wait until another deployment is active: one poll of the database for all of them."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from model_registry.errors import NotFoundError, UnavailableError

# A switch that another process of the registry made is seen after this time; one of this process at once.
POLL_SECONDS = 0.5
# A waiter has a connection, 10 kB in all. Past the bound a caller is answered at once, and asks again in a second.
MAX_WAITERS = 10_000


@dataclass(frozen=True)
class ActiveDocument:
    """The body of `GET /models/{name}/active`, and its tag."""

    content: str
    etag: str


class ActiveWatch:
    """Wakes those that wait for another document of a model; `read` blocks, and raises `NotFoundError`.

    `is_stopping` says that the process is about to end: then all are released.
    """

    def __init__(
        self, read: Callable[[str], ActiveDocument], *, is_stopping: Callable[[], bool], interval: float = POLL_SECONDS
    ) -> None:
        self._read = read
        self._is_stopping = is_stopping
        self._interval = interval
        self._waiters: dict[asyncio.Future[ActiveDocument | None], tuple[str, str]] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._waiters)

    @property
    def is_full(self) -> bool:
        """Whether no further caller may wait."""
        return self.waiting >= MAX_WAITERS

    async def wait(
        self, model: str, etag: str, seconds: float, disconnect: Coroutine[None, None, None]
    ) -> ActiveDocument | None:
        """Return the document that has another tag, None if there is none after so many seconds.

        The wait ends when `disconnect` does: a caller that is gone takes no place.
        """
        self._loop = asyncio.get_running_loop()
        waiter: asyncio.Future[ActiveDocument | None] = self._loop.create_future()
        if not self._waiters:
            self._wake.set()
        self._waiters[waiter] = (model, etag)
        listener = self._loop.create_task(disconnect)
        listener.add_done_callback(lambda _: _release(waiter, None))
        try:
            async with asyncio.timeout(seconds):
                return await waiter
        except TimeoutError:
            return None
        finally:
            listener.cancel()
            del self._waiters[waiter]

    def notify(self) -> None:
        """Look now, because this process has changed something; may be called in any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def step(self) -> None:
        """Wait for the next look, and look; while nobody waits, nothing is read."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval if self._waiters else None):
                await self._wake.wait()
        self._wake.clear()
        if self._is_stopping():
            for waiter in self._waiters:
                _release(waiter, None)
            return
        for model in {model for model, _ in self._waiters.values()}:
            # A database that can't be reached is reported where it is called; they go on waiting.
            with suppress(NotFoundError, UnavailableError):
                self._tell(model, await run_in_threadpool(self._read, model))

    def _tell(self, model: str, document: ActiveDocument) -> None:
        for waiter, (wanted, etag) in self._waiters.items():
            if wanted == model and etag != document.etag:
                _release(waiter, document)


def _release(waiter: asyncio.Future[ActiveDocument | None], document: ActiveDocument | None) -> None:
    if not waiter.done():
        waiter.set_result(document)
