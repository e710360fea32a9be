"""A load generator: keep-alive connections on loopback that send one request after another."""

import asyncio
import time
from collections.abc import Iterator, Sequence

CONNECTIONS = 8
ANSWER_SECONDS = 10.0


class FailedRequestError(Exception):
    """An answer wasn't 200, so the measurement is not valid."""


def ask_all(port: int, paths: Sequence[str], *, per_second: float | None = None) -> list[float]:
    """Request every path once over `CONNECTIONS` connections, as fast as answers come or at an even pace.

    Returns the latencies (s); raises `FailedRequestError`.
    """
    return asyncio.run(_ask_all(port, paths, 0.0 if per_second is None else 1 / per_second))


def ask_each(ports: Sequence[int], paths: Sequence[str], *, per_second: float) -> None:
    """Request every path of each server, at this rate for each, and never from two servers at the same moment.

    A request right after another server's would find the processor's caches already filled.
    """

    async def ask() -> None:
        shift = 1 / per_second / len(ports)
        await asyncio.gather(
            *(_ask_all(port, paths, 1 / per_second, number * shift) for number, port in enumerate(ports))
        )

    asyncio.run(ask())


async def _ask_all(port: int, paths: Sequence[str], interval: float, delay: float = 0.0) -> list[float]:
    begin = time.perf_counter() + delay
    left = iter([(path, begin + number * interval) for number, path in enumerate(paths)])
    latencies: list[float] = []
    await asyncio.gather(*(_connection(port, left, latencies) for _ in range(CONNECTIONS)))
    return latencies


async def _connection(port: int, left: Iterator[tuple[str, float]], latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for path, due in left:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            started = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            async with asyncio.timeout(ANSWER_SECONDS):
                await _answer(reader, path)
            latencies.append(time.perf_counter() - started)
    finally:
        writer.close()
        await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, path: str) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    if not head.startswith(b"http/1.1 200 "):
        raise FailedRequestError(f"{path}: {head.splitlines()[0].decode()}: {body[:300].decode(errors='replace')}")
