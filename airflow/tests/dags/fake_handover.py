"""A fake model registry, feature-sync and gateway on loopback that store what they receive."""

from testkit.fake_registry import FakeRegistry, RegistryHandler

# Where people read the gateway's pages.
PUBLIC_URL = "https://alerts.example.test"


class FakeHandover(FakeRegistry):
    """The fake registry, and feature-sync and the gateway's reports as their contracts say.

    `calls` are method and path in order, `failures` the 503s still to give, `failed_syncs` the jobs still to fail.
    Just before the call `overtake_at`, the bundle in service is registered and deployed anew under another version, as
    by a training.
    """

    def __init__(self) -> None:
        super().__init__(handler=_Handler)
        self.calls: list[str] = []
        self.bodies: list[bytes] = []
        self.failures = 0
        self.failed_syncs = 0
        self.overtake_at = ""


class _Handler(RegistryHandler):
    server: FakeHandover

    def handle_call(self, body: bytes) -> None:
        call = f"{self.command} {self.path}"
        self.server.calls.append(call)
        if self.command == "POST":
            self.server.bodies.append(body)
        if call == self.server.overtake_at:
            self.server.overtake_at = ""
            self.server.bundles["100"] = self.server.bundles["1"]
            self.server.deploy(self.server.deployment("100", since="2026-01-01T00:00:00Z"))
        if self.server.failures:
            self.server.failures -= 1
            self.send_json(503, {"title": "Service Unavailable", "status": 503, "detail": "starting"})
        elif self.command == "PUT" and self.path.startswith("/reports/"):
            page = self.path.partition("?")[0]
            self.send_json(200, {"run": page.rpartition("/")[2], "url": f"{PUBLIC_URL}{page}"})
        elif call == "POST /sync":
            self.send_json(202, {"job": "j-1"})
        elif call == "GET /sync/j-1" and self.server.failed_syncs:
            self.server.failed_syncs -= 1
            self.send_json(200, {"job": "j-1", "state": "failed", "error": "Redis is down"})
        elif call == "GET /sync/j-1":
            self.send_json(200, {"job": "j-1", "state": "done"})
        else:
            super().handle_call(body)
