"""A TCP proxy in a thread that forwards bytes at once, late, or not at all while it is cut."""

import asyncio
import threading
from types import TracebackType
from typing import Self

_CHUNK = 64 * 1024


class SlowProxy:
    """Listens on loopback; `delay` (s) delays the clients' bytes; while `cut` nothing is forwarded either way.

    Held bytes are forwarded when the cut ends, as TCP would send them again after a partition.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop).result(
            timeout=5
        )
        self.port = int(server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def cut(self) -> None:
        """Forward nothing from now on."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def join(self) -> None:
        """Forward everything again."""
        self._loop.call_soon_threadsafe(self._open.set)

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass(reader, there[1], late=True), self._pass(there[0], writer, late=False))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, late: bool) -> None:
        try:
            while data := await reader.read(_CHUNK):
                if late and self.delay:
                    await asyncio.sleep(self.delay)
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()
