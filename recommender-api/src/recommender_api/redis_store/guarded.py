"""`Store` with the circuit breaker; every fault of Redis is reported here and nowhere else."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar

import monitoring
from recommender_api.redis_store.breaker import Breaker
from recommender_api.redis_store.commands import Address
from recommender_api.redis_store.port import (
    NewEvent,
    NewServed,
    Put,
    Store,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    StreamFullError,
)
from recommender_api.redis_store.recoveries import RedisRecoveries

P = ParamSpec("P")
T = TypeVar("T")


class GuardedStore:
    """Rejects calls at once while the breaker is open.

    With `quiet` an unreachable Redis is not reported: for background work, whose faults affect no caller.
    """

    def __init__(self, store: Store, breaker: Breaker, address: Address, *, quiet: bool = False) -> None:
        self.breaker = breaker
        self.address = address
        self._store = store
        self._quiet = quiet
        # Shared by all views of one store.
        self._recoveries = RedisRecoveries()

    def without_reporting(self) -> "GuardedStore":
        """Return the same store for background work."""
        quiet = GuardedStore(self._store, self.breaker, self.address, quiet=True)
        quiet._recoveries = self._recoveries
        return quiet

    def read(self, keys: Sequence[str]) -> Coroutine[Any, Any, list[bytes | None]]:
        """See `Store`."""
        return self._guarded("read", self._store.read, keys)

    async def read_head(self, key: str, size: int) -> bytes:
        """See `Store`."""
        return await self._guarded("read", self._store.read_head, key, size)

    async def top(self, key: str, count: int, start: int = 0) -> list[tuple[int, float]]:
        """See `Store`."""
        return await self._guarded("top", self._store.top, key, count, start)

    async def write(self, puts: Sequence[Put], exposures: Sequence[bytes]) -> None:
        """See `Store`."""
        await self._guarded("write", self._store.write, puts, exposures)

    async def add_events(self, events: Sequence[NewEvent]) -> int:
        """See `Store`."""
        return await self._guarded("add_events", self._store.add_events, events)

    async def add_served(self, entries: Sequence[NewServed]) -> int:
        """See `Store`."""
        return await self._guarded("add_served", self._store.add_served, entries)

    def undecodable(self, error: Exception, key: str) -> None:
        """Report a value in Redis that can't be decoded."""
        self._recoveries.note_undecodable(self.breaker.begin())
        self._report("redis.unexpected_error", error, type(error).__name__, key=key)

    async def _guarded(self, operation: str, call: Callable[P, Awaitable[T]], *args: P.args, **more: P.kwargs) -> T:
        if self.breaker.is_open:
            cause = self.breaker.cause
            refused = StoreUnavailableError(f"not called: the circuit breaker is open after {cause}", cause)
            self._unavailable(refused, operation)
            raise refused
        began = self.breaker.begin()
        try:
            result = await call(*args, **more)
        except StoreUnavailableError as error:
            self.breaker.record_failure(began, error.error_type)
            self._unavailable(error, operation)
            raise
        except StoreRefusedError as error:
            self.breaker.record_success()
            self._recoveries.note_refusal(operation)
            self._report("redis.unexpected_error", error, error.error_type, operation=operation)
            raise
        except StreamFullError:
            # Redis is healthy, and feature-sync reports the lag.
            self.breaker.record_success()
            raise
        self.breaker.record_success()
        if self._recoveries.open and not self.breaker.is_open:
            self._recoveries.note_success(operation, began)
        return result

    def _unavailable(self, error: StoreError, operation: str) -> None:
        if not self._quiet:
            self._recoveries.note_loss(self.breaker.begin())
            self._report("redis.connection_failed", error, error.error_type, operation=operation)

    def _report(self, point: str, error: Exception, error_type: str, **more: str) -> None:
        host, port, db = self.address
        monitoring.report(
            point, error=error, error_type=error_type, redis_host=host, redis_port=port, redis_db=db, **more
        )


def report_recovery() -> None:
    """Report that Redis is back, and with it the answers that needed it."""
    monitoring.recovered("redis.connection_failed")
    for point in ("fallback.redis_failed", "fallback.precomputed_used", "fallback.static_popular_used"):
        monitoring.recovered(point)
