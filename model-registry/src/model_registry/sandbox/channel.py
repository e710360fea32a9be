"""What a sandboxed process says to the service: one JSON object per line, because a stranger's pickle is code."""

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

from model_registry.sandbox.container import memory_left
from model_registry.sandbox.limits import Limits, allow_memory, own_data, resident

# A manifest of 1 MiB, escaped.
MAX_LINE_BYTES = 8 * 2**20
_BLOCK = 2**16


class Channel:
    """The process's end: its messages, and how much memory it may have."""

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits
        self._data = own_data()
        self._resident = resident(os.getpid())
        self.send(pid=os.getpid())
        self.allow(0)

    def send(self, **fields: Any) -> None:
        """Tell the service."""
        self._connection.sendall(json.dumps(fields).encode() + b"\n")

    def allow(self, declared: int) -> None:
        """Allow memory for so many bytes of content, and the spare bytes besides, as far as the container has it."""
        more = declared + self._limits.spare_bytes
        if (left := memory_left()) is not None:
            more = min(more, left)
        allow_memory(more, data=self._data)
        self.send(max_resident=self._resident + more)


class LineReader:
    """The service's end: complete lines, as they come."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self.ended = False

    def read(self, timeout: float) -> Iterator[dict[str, Any]]:
        """Yield the messages that come within `timeout` (s); the last one may be cut short. `ended` at the end."""
        self._connection.settimeout(timeout)
        try:
            block = self._connection.recv(_BLOCK)
        except TimeoutError:
            return
        self.ended = not block or len(self._buffer) > MAX_LINE_BYTES
        self._buffer += block
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                # The process died while it wrote.
                continue
            if isinstance(found, dict):
                yield found
