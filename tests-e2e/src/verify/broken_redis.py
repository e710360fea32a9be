"""A fake Redis endpoint with a fault: it stores nothing, and answers late, wrongly or not at all."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Literal

from contracts import redis_keys

Mode = Literal["empty", "late", "refusing", "old"]

LATE_SECONDS = 1.5
_ERROR = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
_ANSWER = redis_keys.result("").encode()
# Of feature-sync's questions about the snapshot and the lag; all others are refused.
_OLD_ANSWERS = {
    b"GET": b"$7\r\nold.0.0\r\n",
    b"HGET": b"$1\r\n1\r\n",
    b"EVALSHA": b"-NOSCRIPT No matching script\r\n",
}
# The time, and a group with one entry from the beginning of 1970.
_OLD_LAG = b"*2\r\n:1795500000000\r\n*3\r\n$3\r\nlog\r\n:1\r\n:1\r\n"
_LAG_SCRIPT = b"'COUNT', 1)"
_HANDSHAKE = frozenset({b"AUTH", b"CLIENT", b"HELLO", b"PING", b"SELECT"})


class BrokenRedis(ThreadingTCPServer):
    """`mode` may be changed at any time."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mode: Mode = "empty"
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self._down = False

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.server_address[1]}/0"

    def remember(self, connection: socket.socket) -> None:
        """Record a connection that is closed with the endpoint."""
        self._connections.append(connection)

    def go_down(self) -> None:
        """Reject new connections and cut the others."""
        if self._down:
            return
        self._down = True
        self.shutdown()
        self.server_close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                # The peer closed it first.
                continue


@contextmanager
def broken_redis() -> Iterator[BrokenRedis]:
    """Listen until the end of the block."""
    server = BrokenRedis()
    try:
        yield server
    finally:
        server.go_down()


class _Handler(StreamRequestHandler):
    server: BrokenRedis

    def handle(self) -> None:
        """Answer one command after another."""
        self.server.remember(self.connection)
        try:
            while command := self._command():
                self.wfile.write(self._answer(command))
        except OSError:
            return

    def _command(self) -> list[bytes]:
        head = self.rfile.readline()
        if not head.startswith(b"*"):
            return []
        parts = []
        for _ in range(int(head[1:])):
            length = int(self.rfile.readline()[1:])
            parts.append(self.rfile.read(length + 2)[:-2])
        return parts

    def _answer(self, command: list[bytes]) -> bytes:
        name = command[0].upper()
        if name in _HANDSHAKE:
            return b"+PONG\r\n" if name == b"PING" else b"+OK\r\n"
        if self.server.mode == "refusing" and _reads_answer(command):
            return _ERROR
        if self.server.mode == "old":
            if name == b"EVAL" and _LAG_SCRIPT in command[1]:
                return _OLD_LAG
            return _OLD_ANSWERS.get(name, _ERROR)
        if self.server.mode == "late":
            time.sleep(LATE_SECONDS)
        match name:
            case b"MGET":
                return b"*%d\r\n" % (len(command) - 1) + b"$-1\r\n" * (len(command) - 1)
            case b"GET":
                return b"$-1\r\n"
            case b"EVAL" | b"EVALSHA":
                return b":0\r\n"
            case b"ZRANGE" | b"ZREVRANGE":
                return b"*0\r\n"
            case _:
                return b"+OK\r\n"


def _reads_answer(command: list[bytes]) -> bool:
    """Return whether a request asks for its cached answer; what runs beside the requests must not report first."""
    return command[0].upper() in {b"GET", b"MGET"} and any(key.startswith(_ANSWER) for key in command[1:])
