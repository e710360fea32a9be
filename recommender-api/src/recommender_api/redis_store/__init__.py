"""Redis access of the API: a port, the real client, an in-memory fake, and the circuit breaker."""

from recommender_api.redis_store.breaker import Breaker
from recommender_api.redis_store.client import RedisStore
from recommender_api.redis_store.cluster import ClusterStore
from recommender_api.redis_store.commands import Address
from recommender_api.redis_store.fake import MemoryStore
from recommender_api.redis_store.guarded import GuardedStore, report_recovery
from recommender_api.redis_store.port import (
    NewEvent,
    Put,
    Store,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from servicekit.redis_urls import parse


def open_store(url: str, *, budget: float) -> RedisStore | ClusterStore:
    """Return the store that a URL names (`servicekit.redis_urls`); nothing is connected before it is used."""
    target = parse(url)
    return ClusterStore(target, budget=budget) if target.kind == "cluster" else RedisStore(target, budget=budget)


__all__ = [
    "Address",
    "Breaker",
    "ClusterStore",
    "GuardedStore",
    "MemoryStore",
    "NewEvent",
    "Put",
    "RedisStore",
    "Store",
    "StoreError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "open_store",
    "report_recovery",
]
