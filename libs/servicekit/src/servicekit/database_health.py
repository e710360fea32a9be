"""Measures a process's connections to databases: what pools hold, how long callers wait, whether they succeed."""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, Engine, QueuePool, event
from sqlalchemy.pool import PoolProxiedConnection

# Upper bounds in seconds. A free connection takes microseconds, its check a round trip; a pool is waited for 5 s.
WAIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Durations:
    """A histogram of durations; written from any thread."""

    def __init__(self) -> None:
        self._counts = [0] * (len(WAIT_BUCKETS) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, seconds: float) -> None:
        """Add one duration."""
        with self._lock:
            self._counts[bisect_left(WAIT_BUCKETS, seconds)] += 1
            self._sum += seconds

    def snapshot(self) -> tuple[list[int], float]:
        """Return the counts by bucket, the last one without an upper bound, and the sum in seconds."""
        with self._lock:
            return list(self._counts), self._sum


@dataclass
class DatabaseHealth:
    """The connections of one database; `is_up` is the outcome of the last try, None before the first."""

    waits: Durations = field(default_factory=Durations)
    connects: Durations = field(default_factory=Durations)
    is_up: bool | None = None


@dataclass(frozen=True)
class Measured:
    """A database of this process: its name, its measures, and the connections that its pools may open and hold now."""

    database: str
    health: DatabaseHealth
    limit: int
    in_use: int
    idle: int


class _MeasuredPool(QueuePool):
    """A pool that measures how long its callers wait for a connection, a new one or a checked one."""

    health: DatabaseHealth

    def connect(self) -> PoolProxiedConnection:
        """Return a connection."""
        began = time.perf_counter()
        try:
            connection = super().connect()
        finally:
            self.health.waits.observe(time.perf_counter() - began)
        self.health.is_up = True
        return connection


class DatabaseMonitor:
    """Measures the engines of a process, by the name of their database; an engine that is gone is not counted."""

    def __init__(self) -> None:
        self._databases: dict[str, DatabaseHealth] = {}
        self._engines: WeakKeyDictionary[Engine, tuple[str, int]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def pool_class(self, database: str) -> type[QueuePool]:
        """Return the class of a pool that measures for `database`."""
        return type("MeasuredPool", (_MeasuredPool,), {"health": self._health(database)})

    def watch(self, engine: Engine, database: str, limit: int) -> None:
        """Count an engine's pool, which may open `limit` connections, and measure how long it takes to open one."""
        health = self._health(database)

        def connect(dialect: Dialect, _record: object, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
            began = time.perf_counter()
            try:
                return dialect.connect(*arguments, **options)
            except Exception:
                health.is_up = False
                raise
            finally:
                health.connects.observe(time.perf_counter() - began)

        event.listen(engine, "do_connect", connect)
        with self._lock:
            self._engines[engine] = database, limit

    def measured(self) -> Iterator[Measured]:
        """Yield the databases by name."""
        with self._lock:
            engines = [(name, limit, engine.pool) for engine, (name, limit) in self._engines.items()]
        for name in sorted({name for name, _, _ in engines}):
            own = [(limit, pool) for each, limit, pool in engines if each == name]
            pools = [pool for _, pool in own if isinstance(pool, QueuePool)]
            yield Measured(
                name,
                self._health(name),
                limit=sum(limit for limit, _ in own),
                in_use=sum(pool.checkedout() for pool in pools),
                idle=sum(pool.checkedin() for pool in pools),
            )

    def _health(self, database: str) -> DatabaseHealth:
        with self._lock:
            return self._databases.setdefault(database, DatabaseHealth())


# One per process, as `/metrics` is.
MONITOR = DatabaseMonitor()
