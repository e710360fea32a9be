"""An ASGI application behind a real server in a thread of the test, so that its reports can be captured."""

import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx
import uvicorn

from localservers.waiting import wait_until

if TYPE_CHECKING:
    from asyncio import Protocol

START_SECONDS = 60
STOP_SECONDS = 15


class RunningApp:
    """Listens on a free port of loopback, by uvicorn's own HTTP protocol or another; `http` is a client for it."""

    def __init__(self, app: Any, protocol: "type[Protocol] | None" = None) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        # As in a service's own process, an error in the lifespan fails the start.
        config = uvicorn.Config(app, http=protocol or "auto", log_config=None, access_log=False, lifespan="on")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self.http = httpx.Client(base_url=self.url, timeout=START_SECONDS)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(self._has_started, within=START_SECONDS, every=0.005, what="the application has started")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.http.close()
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._socket.close()

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        """Send a GET request with query parameters."""
        return self.http.get(path, params=parameters)

    def ask(self, path: str, *, request_id: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Return the JSON body of an answer, which must be 200."""
        headers = {} if request_id is None else {"X-Request-ID": request_id}
        response = self.http.get(path, params=parameters, headers=headers)
        if response.status_code != httpx.codes.OK:
            raise AssertionError(f"{path}: HTTP {response.status_code}: {response.text}")
        body: dict[str, Any] = response.json()
        return body

    def post(self, path: str, body: Any = None, *, token: str | None = None) -> httpx.Response:
        """Send a JSON body, with a bearer token if one is given."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.http.post(path, json=body, headers=headers)

    def _has_started(self) -> bool:
        if not self._thread.is_alive():
            raise RuntimeError("the application did not start; its log says why")
        return self._server.started
