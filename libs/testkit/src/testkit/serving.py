"""An ASGI application served over HTTP from a thread, on a free port."""

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

import uvicorn

from localservers.waiting import wait_until

if TYPE_CHECKING:
    from asyncio import Protocol

    from starlette.types import ASGIApp

START_SECONDS = 60


class Served:
    """Serves `app` for the length of a block at `url`, by uvicorn's own HTTP protocol or another."""

    def __init__(self, app: "ASGIApp", http: "type[Protocol] | None" = None) -> None:
        self._server = uvicorn.Server(uvicorn.Config(app, http=http or "auto", port=0, log_config=None))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started, within=START_SECONDS, every=0.01, what="the application serves")
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop as after a SIGTERM, and wait for the end."""
        self._server.should_exit = True
        self._thread.join(START_SECONDS)

    @property
    def is_running(self) -> bool:
        """Whether the server has not ended."""
        return self._thread.is_alive()
