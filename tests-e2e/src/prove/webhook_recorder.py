"""A proxy between Alertmanager and the gateway: records each webhook, and loses some of them."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import httpx

from testkit.recorded_webhooks import Outcome, RecordedWebhook
from testkit.threaded_server import SilentHandler, ThreadedServer

# Forwarded; answered 503; cut before the gateway gets it; cut after the gateway has answered.
Treatment = Literal["pass", "refuse", "cut before", "cut after"]
FORWARD_SECONDS = 8


class WebhookRecorder(ThreadedServer):
    """Passes webhooks on to `gateway_url`, treated as `treatment` says; `webhooks` are the attempts so far."""

    def __init__(self, gateway_url: str, treatment: Callable[[], Treatment]) -> None:
        super().__init__(_Handler)
        self.treatment = treatment
        self.webhooks: list[RecordedWebhook] = []
        self.unanswered = 0
        self._lock = threading.Lock()
        self._http = httpx.Client(base_url=gateway_url, timeout=FORWARD_SECONDS)

    def stop(self) -> None:
        """Stop listening, and close the connections to the gateway."""
        super().stop()
        self._http.close()

    def pass_on(self, path: str, headers: dict[str, str], body: bytes, treatment: Treatment) -> int | None:
        """Treat a webhook; return the status of the answer, None to cut the connection."""
        received = datetime.now(UTC)
        if treatment in ("refuse", "cut before"):
            self._record(received, "withheld", body)
            return httpx.codes.SERVICE_UNAVAILABLE if treatment == "refuse" else None
        try:
            answer = self._http.post(path, headers=headers, content=body)
        except httpx.ConnectError:
            self._record(received, "withheld", body)
            return httpx.codes.BAD_GATEWAY
        except httpx.TransportError:
            self._record(received, "unknown", body)
            return httpx.codes.BAD_GATEWAY
        self._record(received, "accepted" if answer.is_success else "withheld", body)
        if treatment == "cut after":
            self.unanswered += 1
            return None
        return answer.status_code

    def _record(self, received: datetime, outcome: Outcome, body: bytes) -> None:
        with self._lock:
            self.webhooks.append(RecordedWebhook(received, datetime.now(UTC), outcome, json.loads(body)))


class _Handler(SilentHandler):
    server: WebhookRecorder
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take a webhook."""
        body = self.read_body()
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
        status = self.server.pass_on(self.path, headers, body, self.server.treatment())
        if status is None:
            self.close_connection = True
            return
        self.send_body(status, b"")
