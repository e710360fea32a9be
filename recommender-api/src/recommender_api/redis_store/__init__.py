"""Redis as the API uses it: a port, the real client, an in-memory fake, and the circuit breaker in front."""

from recommender_api.redis_store.breaker import Breaker
from recommender_api.redis_store.client import Address, RedisStore
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

__all__ = [
    "Address",
    "Breaker",
    "GuardedStore",
    "MemoryStore",
    "NewEvent",
    "Put",
    "RedisStore",
    "Store",
    "StoreError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "report_recovery",
]
