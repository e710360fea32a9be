"""A fake Sentry-compatible collector and alert gateway on loopback, with faults on demand, for tests of transport."""

import gzip
import json
import socket
import threading
import time
from http import HTTPStatus
from typing import Any

from testkit.threaded_server import SilentHandler, ThreadedServer

DSN_KEY = "0123456789abcdef0123456789abcdef"


class FakeServer(ThreadedServer):
    """Takes envelopes and signals. `mode` is how it answers: ok, down, hang, slow, garbage, page, or an HTTP status."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.mode = "ok"
        self.gateway_mode = "ok"
        # The HTTP status of batches for the index of requests, and those that were taken.
        self.index_status = 202
        self.request_batches: list[dict[str, Any]] = []
        # Signals with this fingerprint part are rejected: alone, or with their batch as by an older gateway.
        self.refused_parts: frozenset[str] = frozenset()
        self.refuses_batches = False
        self.headers: dict[str, str] = {}
        self.bodies: list[bytes] = []
        self.envelope_headers: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.arrivals: list[float] = []
        self.transactions: list[dict[str, Any]] = []
        self.signals: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.requests = 0
        self.released = threading.Event()

    def stop(self) -> None:
        """Release hanging clients and stop."""
        self.released.set()
        super().stop()

    @property
    def dsn(self) -> str:
        """The DSN of its project."""
        return f"http://{DSN_KEY}@127.0.0.1:{self.server_port}/1"


class _Handler(SilentHandler):
    server: FakeServer

    def do_POST(self) -> None:
        """Take an envelope or a batch of signals, or misbehave."""
        body = self.read_body()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/requests":
            self._take_requests(json.loads(body))
            return
        signals = self.path == "/signals"
        self.server.requests += 1
        if self._misbehaves(self.server.gateway_mode if signals else self.server.mode):
            return
        self.server.bodies.append(body)
        if signals:
            self.server.authorizations.append(self.headers.get("Authorization"))
            self._take_signals(json.loads(body)["signals"])
            return
        header, item, rest = body.split(b"\n", 2)
        payload = json.loads(rest.partition(b"\n")[0])
        if json.loads(item)["type"] == "transaction":
            self.server.transactions.append(payload)
        else:
            self.server.envelope_headers.append(json.loads(header))
            self.server.events.append(payload)
            self.server.arrivals.append(time.monotonic())
        self._answer(200, json.dumps({"id": payload["event_id"]}).encode())

    def _misbehaves(self, mode: str) -> bool:
        """Do what a faulty mode says; return whether that was all."""
        if mode == "down":
            self.connection.shutdown(socket.SHUT_RDWR)
            return True
        if mode == "hang":
            self.server.released.wait(30)
            return True
        if mode == "garbage":
            self.wfile.write(b"\x00\x01 not HTTP at all\r\n\r\n")
            return True
        if mode == "page":
            self._answer(200, b"<html>Please log in</html>")
            return True
        if mode.isdigit():
            self._answer(int(mode), b"{}")
            return True
        if mode == "slow":
            time.sleep(0.2)
        return False

    def _take_requests(self, batch: dict[str, Any]) -> None:
        if self.server.index_status == HTTPStatus.ACCEPTED:
            self.server.request_batches.append(batch)
        self._answer(self.server.index_status, b'{"accepted": 0, "rejected": 0}')

    def _take_signals(self, sent: list[dict[str, Any]]) -> None:
        refused = [each for each in sent if self.server.refused_parts.intersection(each["fingerprint"])]
        if refused and self.server.refuses_batches:
            self._answer(422, b"{}")
            return
        taken = [each for each in sent if each not in refused]
        self.server.signals += taken
        receipt: dict[str, Any] = {"accepted": len(taken), "duplicates": 0}
        if refused:
            receipt["rejected"] = [{"signal_id": each["signal_id"], "reason": "fingerprint: no"} for each in refused]
        self._answer(202, json.dumps(receipt).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_body(status, body, self.server.headers)
