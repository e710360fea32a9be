"""The simulator as a server: in the main thread for `python -m wechat_simulator`, in a thread for tests."""

import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from wechat_simulator.app import create_app
from wechat_simulator.corporation import Clock
from wechat_simulator.settings import Settings

START_SECONDS = 60.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class SimulatorServer:
    """Serves the simulator; as a context manager it runs in a thread on a free port."""

    def __init__(
        self, settings: Settings, listener: socket.socket, mail_listener: socket.socket, clock: Clock | None = None
    ) -> None:
        config = uvicorn.Config(
            create_app(settings, self._reset, clock, mail_listener),
            http="h11",
            loop="asyncio",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=0,
        )
        self._listener = listener
        self._mail_listener = mail_listener
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.run, name="wechat-simulator", daemon=True)

    @classmethod
    def on_free_port(cls, settings: Settings, clock: Clock | None = None) -> Self:
        """Return a server that listens on a port of its own."""
        anywhere = ("127.0.0.1", 0)
        return cls(settings, socket.create_server(anywhere), socket.create_server(anywhere), clock)

    @property
    def url(self) -> str:
        """Its address."""
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def smtp_url(self) -> str:
        """The address of the mail catcher."""
        host, port = self._mail_listener.getsockname()[:2]
        return f"smtp://{host}:{port}"

    def run(self) -> None:
        """Serve until the server is stopped."""
        with self._listener, self._mail_listener:
            self._server.run(sockets=[self._listener])

    def __enter__(self) -> Self:
        self._thread.start()
        give_up = time.monotonic() + START_SECONDS
        while not self._server.started:
            if time.monotonic() > give_up:
                raise RuntimeError(f"the simulator did not start within {START_SECONDS} s")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()

    def _reset(self, client: tuple[str, int]) -> None:
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, H11Protocol) and connection.client == client:
                held = connection.transport.get_extra_info("socket")
                held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                connection.transport.abort()
