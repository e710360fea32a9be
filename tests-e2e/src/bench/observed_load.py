"""A load at an even pace that records every answer, including failed requests."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bench.load import ANSWER_SECONDS, CONNECTIONS


class Answer(NamedTuple):
    """When a request was due, its latency from then (s), and its fallback level; None if it failed."""

    due: float
    seconds: float
    level: int | None


def p99(answers: Sequence[Answer]) -> float:
    """Return the 99th percentile of the latencies (ms)."""
    return float(np.percentile([each.seconds for each in answers], 99)) * 1e3


def observe(port: int, paths: Sequence[str], *, per_second: float) -> list[Answer]:
    """Request each path over `CONNECTIONS` connections; a broken connection is a failed request and is opened again.

    Latency is measured from the moment when a request was due, so a server that stalls can't slow down the load.
    """
    return asyncio.run(_observe(port, paths, per_second))


async def _observe(port: int, paths: Sequence[str], per_second: float) -> list[Answer]:
    begin = time.perf_counter()
    due = iter([(begin + number / per_second, path) for number, path in enumerate(paths)])
    answers: list[Answer] = []
    await asyncio.gather(*(_connection(port, due, answers) for _ in range(CONNECTIONS)))
    return answers


async def _connection(port: int, due: Iterator[tuple[float, str]], answers: list[Answer]) -> None:
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    for at, path in due:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        level = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", port)
                level = await _ask(*streams, path)
        except (OSError, EOFError, TimeoutError):
            if streams is not None:
                streams[1].close()
                streams = None
        answers.append(Answer(at, time.perf_counter() - at, level))
    if streams is not None:
        streams[1].close()
        await streams[1].wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> int | None:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(_header(head, b"content-length")))
    return int(_header(head, b"x-fallback-level")) if head.startswith(b"http/1.1 200 ") else None


def _header(head: bytes, name: bytes) -> bytes:
    return head.partition(b"\r\n" + name + b": ")[2].partition(b"\r\n")[0]
