"""A body of 300 MB without a token, at every route of every service: it is rejected at once and not stored."""

import random
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bench.results import Goal, Result
from prove.services import SERVICES, RunningService, Service, running
from testkit.large_bodies import Framing, Refusal, routes_of, send_large_body
from testkit.redis_server import RedisServer

_FRAMINGS: tuple[Framing, ...] = ("content-length", "chunked")
_CONTENT_TYPES = ("application/json", "multipart/form-data; boundary=part", "application/x-www-form-urlencoded")
_SAMPLE_SECONDS = 0.01
# An answer is due at once, but a busy machine may delay a process.
_MOST_SECONDS = 1.0
# The buffers of both ends of a connection, and the bytes that are discarded so that the answer can be read.
_MOST_SENT_MB = 16.0
_MOST_GROWTH_MB = 20.0


def prove(folder: Path, seed: int) -> list[Result]:
    """Return the worst values of each service."""
    results: list[Result] = []
    with RedisServer(folder) as redis:
        for service in SERVICES:
            with running(service, folder / service.name, redis.url) as process:
                results += _send(service, process, random.Random(seed))
    return results


def _send(service: Service, process: RunningService, order: random.Random) -> list[Result]:
    sent = [
        (route, framing, content_type)
        for route in routes_of(service.app())
        for framing in _FRAMINGS
        for content_type in _CONTENT_TYPES
    ]
    order.shuffle(sent)
    # Memory that the first requests load does not count.
    for route, framing, content_type in sent[:20]:
        send_large_body(process.port, route, framing, content_type=content_type)
    with _Watch(process.pid) as watch:
        refusals = [
            send_large_body(process.port, route, framing, content_type=content_type)
            for route, framing, content_type in sent
        ]
    return [
        Result(f"{service.name}: bodies sent", len(refusals), ""),
        Result(
            f"{service.name}: accepted or failed", sum(not _is_refused(each) for each in refusals), "", Goal(most=0)
        ),
        Result(
            f"{service.name}: slowest answer", max(each.seconds for each in refusals), "s", Goal(most=_MOST_SECONDS)
        ),
        Result(
            f"{service.name}: most bytes sent until closed",
            max(each.sent_bytes for each in refusals) / 1e6,
            "MB",
            Goal(most=_MOST_SENT_MB),
        ),
        Result(f"{service.name}: growth of memory", watch.growth_mb, "MB", Goal(most=_MOST_GROWTH_MB)),
        Result(f"{service.name}: spooled", watch.spooled_mb, "MB", Goal(most=0)),
    ]


def _is_refused(refusal: Refusal) -> bool:
    return 400 <= refusal.status < 500


class _Watch(threading.Thread):
    """Samples the memory of a process, and its open temporary files."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._before = self._process.memory_info().rss
        self._peak = self._before
        self._spooled = 0
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Sample repeatedly."""
        while True:
            self._peak = max(self._peak, self._process.memory_info().rss)
            self._spooled = max(self._spooled, _spooled_bytes(self._process.pid))
            if self._ended.wait(_SAMPLE_SECONDS):
                return

    @property
    def growth_mb(self) -> float:
        """Peak of the resident memory minus its value before (MB)."""
        return (self._peak - self._before) / 1e6

    @property
    def spooled_mb(self) -> float:
        """Peak size of temporary files without a name (MB)."""
        return self._spooled / 1e6


def _spooled_bytes(pid: int) -> int:
    held = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "(deleted)" in str(descriptor.readlink()):
                held += descriptor.stat().st_size
        except FileNotFoundError:
            continue  # closed meanwhile
    return held
