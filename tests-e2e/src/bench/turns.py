"""Measures two servers in turns from a process that does nothing else, to find differences of a few percent in a tail.

One request is in flight at a time, on a blocking socket, so the measurement contains no event loop, garbage collection
or other thread of the client. The other server is stopped meanwhile, so that it takes no CPU.
"""

import gc
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import numpy as np
from numpy.typing import NDArray

from bench.load import ANSWER_SECONDS, FailedRequestError
from bench.own_process import own_process
from bench.servers import LOAD_CORE, Server

RECEIVED_AT_ONCE = 256 * 1024

# A turn: the server, and its latencies (s).
Turn = tuple[str, list[float]]


class TurnClient:
    """Sends requests from a process of its own."""

    def __init__(self, process: ProcessPoolExecutor) -> None:
        self._process = process

    def measure(
        self, servers: Mapping[str, Server], paths: Sequence[str], *, turns: int, requests: int
    ) -> dict[str, NDArray[np.float64]]:
        """Return each server's latencies (s) [turns, requests]; the turns go ABBA and begin with the first server.

        Needs 2 · turns · requests paths. Both servers are running afterwards; raises `FailedRequestError`.
        """
        targets = {name: (server.process.pid, server.port) for name, server in servers.items()}
        for pid, _ in targets.values():
            os.kill(pid, SIGSTOP)
        try:
            turns_taken = self._process.submit(_in_turns, targets, paths, turns, requests).result()
        finally:
            for pid, _ in targets.values():
                os.kill(pid, SIGCONT)
        return {name: np.array([latencies for who, latencies in turns_taken if who == name]) for name in servers}


@contextmanager
def start_turn_client() -> Iterator[TurnClient]:
    """Start one on the core of the load, with the highest priority if that is permitted."""
    with own_process(_come_first) as process:
        yield TurnClient(process)


def prefer(server: Server) -> None:
    """Give a server's threads, and those they start, a higher priority than other programs, if permitted."""
    with suppress(PermissionError):
        for thread in Path(f"/proc/{server.process.pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), -20)


def _come_first() -> None:
    os.sched_setaffinity(0, {LOAD_CORE - 1})
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gc.disable()


def _in_turns(targets: Mapping[str, tuple[int, int]], paths: Sequence[str], turns: int, requests: int) -> list[Turn]:
    connections = {
        name: socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) for name, (_, port) in targets.items()
    }
    try:
        turns_taken, names, left = [], list(targets), iter(paths)
        for number in range(turns):
            for name in names[::-1] if number % 2 else names:
                pid = targets[name][0]
                os.kill(pid, SIGCONT)
                turns_taken.append((name, [_latency(connections[name], next(left)) for _ in range(requests)]))
                os.kill(pid, SIGSTOP)
        return turns_taken
    finally:
        for connection in connections.values():
            connection.close()


def _latency(connection: socket.socket, path: str) -> float:
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    began = time.perf_counter()
    connection.sendall(request)
    answer = connection.recv(RECEIVED_AT_ONCE)
    while not _is_whole(answer):
        more = connection.recv(RECEIVED_AT_ONCE)
        if not more:
            raise FailedRequestError(f"{path}: the connection was closed")
        answer += more
    took = time.perf_counter() - began
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise FailedRequestError(f"{path}: {answer[:300].decode(errors='replace')}")
    return took


def _is_whole(answer: bytes) -> bool:
    head, ended, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return bool(ended) and len(body) >= int(length)
