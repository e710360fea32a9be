"""Redis access of the API: a port, the real client, an in-memory fake, and the circuit breaker."""

from recommender_api.redis_store.breaker import Breaker
from recommender_api.redis_store.client import RedisStore
from recommender_api.redis_store.cluster import ClusterStore
from recommender_api.redis_store.commands import Address
from recommender_api.redis_store.fake import MemoryStore
from recommender_api.redis_store.guarded import GuardedStore, report_recovery
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
from servicekit.redis_urls import parse


def open_store(url: str, *, budget: float, stream_max_bytes: int = 128 * 2**20) -> RedisStore | ClusterStore:
    """Return the store that a URL names (`servicekit.redis_urls`); nothing is connected before it is used.

    Above `stream_max_bytes` nothing is added to the event stream.
    """
    target = parse(url)
    store = ClusterStore if target.kind == "cluster" else RedisStore
    return store(target, budget=budget, stream_max_bytes=stream_max_bytes)


__all__ = [
    "Address",
    "Breaker",
    "ClusterStore",
    "GuardedStore",
    "MemoryStore",
    "NewEvent",
    "NewServed",
    "Put",
    "RedisStore",
    "Store",
    "StoreError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "StreamFullError",
    "open_store",
    "report_recovery",
]
