"""A model registry and feature-sync on loopback that keep what they are handed."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeHandover(ThreadingHTTPServer):
    """Answers as CONTRACTS says; `calls` are method and path in order, `failures` the 503s still to give."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[str] = []
        self.bodies: list[bytes] = []
        self.failures = 0
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> "FakeHandover":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, call: str) -> tuple[int, dict[str, Any]]:
        if self.failures:
            self.failures -= 1
            return 503, {"title": "Service Unavailable", "status": 503, "detail": "starting"}
        answers: dict[str, tuple[int, dict[str, Any]]] = {
            "POST /models/ranker/versions": (201, {"name": "ranker", "version": "7", "sha256": "", "created_at": ""}),
            "POST /models/ranker/deployments": (201, {"deployment_id": "d-1", "version": "7", "state": "active"}),
            "POST /sync": (202, {"job": "j-1"}),
            "GET /sync/j-1": (200, {"job": "j-1", "state": "done"}),
        }
        return answers.get(call, (404, {"title": "Not Found", "status": 404, "detail": call}))


class _Handler(BaseHTTPRequestHandler):
    server: FakeHandover

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._reply()

    def do_GET(self) -> None:
        self._reply()

    def log_message(self, *_: object) -> None:
        """Nothing to the test's output."""

    def _reply(self) -> None:
        call = f"{self.command} {self.path}"
        self.server.calls.append(call)
        status, body = self.server.answer(call)
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
