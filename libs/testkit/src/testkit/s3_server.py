"""An S3-compatible object store on 127.0.0.1 (moto), which can kill its client in the middle of a request."""

import os
import signal
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import httpx
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from s3fs import S3FileSystem
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_TIMEOUT_SECONDS = 15
# Access key and secret.
_KEY = "test"


class S3Server:
    """Serves an empty bucket.

    The request `deadly`, such as "PUT /a/b" with a path below the bucket, kills the process `client`, once: before the
    store has carried the request out, or after that if `is_carried_out`.
    """

    def __init__(self) -> None:
        # The buckets of all servers of a process are the same.
        self.bucket = f"artifacts-{uuid4().hex}"
        self.client = 0
        self.deadly: str | None = None
        self.is_carried_out = False
        self._store = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_SilentHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        httpx.put(f"{self._url}/{self.bucket}", timeout=_TIMEOUT_SECONDS).raise_for_status()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join(_TIMEOUT_SECONDS)
        self._server.server_close()

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def address(self) -> str:
        """Return the bucket's address for ARTIFACT_URL."""
        return f"s3://{self.bucket}"

    def environment(self) -> dict[str, str]:
        """Return the variables by which S3 clients find the store."""
        return {
            "AWS_ENDPOINT_URL": self._url,
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def read(self, path: str) -> bytes | None:
        """Return the content of an object of the bucket, None if there is none."""
        # Not by `locate`: the environment of this process may name another store.
        files = S3FileSystem(endpoint_url=self._url, key=_KEY, secret=_KEY, skip_instance_cache=True)
        try:
            content: bytes = files.cat_file(f"{self.bucket}/{path}")
        except FileNotFoundError:
            return None
        return content

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO'].removeprefix(f'/{self.bucket}')}"
        if request != self.deadly:
            return self._carry_out(environ, start_response)
        self.deadly = None
        if self.is_carried_out:
            return self._kill_client_after(self._carry_out(environ, start_response))
        os.kill(self.client, signal.SIGKILL)
        start_response("503 Service Unavailable", [])
        return []

    def _kill_client_after(self, answer: Iterable[bytes]) -> Iterable[bytes]:
        body = list(answer)
        os.kill(self.client, signal.SIGKILL)
        return body

    def _carry_out(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer: Iterable[bytes] = self._store(environ, start_response)
        return answer


class _SilentHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        del type, message, args
