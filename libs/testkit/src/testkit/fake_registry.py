"""The model registry's side of its contract with a replica, on loopback, for tests of those that poll it."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SINCE = "2026-01-01T00:00:00Z"


class FakeRegistry(ThreadingHTTPServer):
    """Serves deployments of one model. `mode` is how it answers: ok, an HTTP status, or garbage."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, name: str = "ranker") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.mode = "ok"
        self.bundles: dict[str, bytes] = {}
        self.active: dict[str, Any] | None = None
        self.replicas: dict[str, dict[str, Any]] = {}
        self.authorizations: list[str | None] = []
        self.downloads = 0
        self.not_modified = 0
        self._deployments = 0
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def push(self, version: str, archive: Path) -> dict[str, Any]:
        """Store a bundle and return a deployment of it, not active yet."""
        self.bundles[version] = archive.read_bytes()
        self._deployments += 1
        return {
            "deployment_id": str(self._deployments),
            "version": version,
            "bundle_url": f"/models/{self.name}/versions/{version}/bundle",
            "sha256": hashlib.sha256(self.bundles[version]).hexdigest(),
            "rollout": 1.0,
            "since": SINCE,
        }

    def deploy(
        self, primary: dict[str, Any], canary: dict[str, Any] | None = None, shadow: dict[str, Any] | None = None
    ) -> None:
        """Make deployments active."""
        self.active = {"name": self.name, "primary": primary, "canary": canary, "shadow": shadow}


class _Handler(BaseHTTPRequestHandler):
    server: FakeRegistry

    def do_GET(self) -> None:
        """Answer the active deployments or a bundle."""
        self.server.authorizations.append(self.headers.get("Authorization"))
        if self.server.mode.isdigit():
            self._answer(int(self.server.mode), b"{}")
        elif bundle := re.fullmatch(rf"/models/{self.server.name}/versions/([^/]+)/bundle", self.path):
            self.server.downloads += 1
            content = self.server.bundles.get(bundle[1])
            self._answer(404, b"{}") if content is None else self._answer(200, content)
        elif self.path == f"/models/{self.server.name}/active":
            self._active()
        else:
            self._answer(404, b"{}")

    def do_PUT(self) -> None:
        """Take a replica's state."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.replicas[self.path.rsplit("/", 1)[-1]] = body
        self._answer(200, b"{}")

    def _active(self) -> None:
        if self.server.mode == "garbage":
            self._answer(200, b'{"name": "ranker", "primary": 7}')
            return
        if self.server.active is None:
            self._answer(404, b"{}")
            return
        body = json.dumps(self.server.active).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == etag:
            self.server.not_modified += 1
            self._answer(304, b"", etag)
            return
        self._answer(200, body, etag)

    def _answer(self, status: int, body: bytes, etag: str | None = None) -> None:
        self.send_response(status)
        if etag is not None:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so in the base class
        """Silence."""
