"""A real Redis on a free port with the stack's configuration. A test may kill, freeze and restart it."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis

from localservers import redis_server
from localservers.ports import Ports
from localservers.waiting import wait_until
from testkit.processes import ServerProcess


class RedisServer:
    """Its data is in `folder` and survives a kill; `options` are redis.conf's, `url` is its address for the test."""

    def __init__(
        self, folder: Path, options: Mapping[str, str] | None = None, *, url: str = "redis://127.0.0.1:{port}/0"
    ) -> None:
        self._folder = folder
        self.port = Ports.free().redis
        self.url = url.format(port=self.port)
        self._options = {name: value.format(port=self.port) for name, value in (options or {}).items()}
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        self.restart()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self._process.send(signal.SIGCONT)
            self.kill()

    @property
    def pid(self) -> int:
        """The server's process id; raises `RuntimeError` while it is down."""
        if self._process is None:
            raise RuntimeError("Redis is down")
        return self._process.pid

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._process is not None:
            self._process.end(signal.SIGKILL)
            self._process = None

    def freeze(self) -> None:
        """Freeze it: connections are accepted, but nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue it."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start it again on the same port with its data, and wait until it answers."""
        self.kill()
        command = redis_server.command(self._folder, self.port)
        command += [part for name, value in self._options.items() for part in (f"--{name}", *value.split(" "))]
        process = ServerProcess(command, self._folder / "redis.log")
        self._process = process
        wait_until(
            lambda: process.check_alive() and redis_server.answers(self.url),
            within=60,
            every=0.01,
            what="Redis answers",
        )

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("Redis is down")
        self._process.send(number)


@contextmanager
def changed_settings(client: Redis, settings: Mapping[str, str | int]) -> Iterator[None]:
    """Within it Redis has these settings (maxmemory in bytes); afterwards those of before, whatever happened."""
    before = {name: client.config_get(name)[name] or "" for name in settings}
    for name, value in settings.items():
        client.config_set(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            client.config_set(name, old)
