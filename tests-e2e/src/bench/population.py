"""The contents of Redis in the benchmarks: users as feature-sync writes them, and hashes for the naive recommender."""

import numpy as np
import redis

from bench.size import FULL_SIZE
from contracts import redis_keys
from contracts.features import FEATURE_SCHEMA, TRAINED_FEATURES, USER_FEATURES
from contracts.user_blob import History, LiveHistory, UserBlob
from ranking.testing import FIRST_DATASET_ID, MODEL_END

USERS = 5_003
CANDIDATES = 200
_SNAPSHOT = "1"
_LONG_TERM, _LIVE = 40, 10
_TIMEOUT_SECONDS = 10.0


def users(url: str) -> None:
    """Write a snapshot of `USERS` users with a long history, and their live history."""
    rng = np.random.default_rng(0)
    values: dict[str, bytes | str] = {}
    for user in range(1, USERS + 1):
        values[redis_keys.user_features(_SNAPSHOT, user)] = _blob(rng)
        values[redis_keys.live_history(user)] = LiveHistory(1, _history(rng, _LIVE)).pack()
    values[redis_keys.snapshot_schema(_SNAPSHOT)] = FEATURE_SCHEMA
    values[redis_keys.SNAPSHOT_POINTER] = _SNAPSHOT
    with redis.Redis.from_url(url, socket_timeout=_TIMEOUT_SECONDS) as client:
        client.mset(values)


def many_users(url: str, count: int) -> None:
    """Write a snapshot of this many users, which repeat a thousand different ones."""
    rng = np.random.default_rng(0)
    blobs = [_blob(rng) for _ in range(1_000)]
    with redis.Redis.from_url(url, socket_timeout=_TIMEOUT_SECONDS) as client:
        for first in range(1, count + 1, len(blobs)):
            users = range(first, first + len(blobs))
            client.mset(
                {redis_keys.user_features(_SNAPSHOT, user): blob for user, blob in zip(users, blobs, strict=True)}
            )
        client.mset({redis_keys.snapshot_schema(_SNAPSHOT): FEATURE_SCHEMA, redis_keys.SNAPSHOT_POINTER: _SNAPSHOT})


def entities(url: str) -> None:
    """Write the data of the naive recommender: a hash of features per dataset, and a list of candidates."""
    rng = np.random.default_rng(0)
    names = [feature.name for feature in TRAINED_FEATURES]
    with redis.Redis.from_url(url, socket_timeout=_TIMEOUT_SECONDS) as client, client.pipeline() as pipeline:
        for dataset in range(CANDIDATES):
            row = rng.random(len(names)).astype(np.float32)
            pipeline.hset(f"naive:item:{dataset}", mapping=dict(zip(names, map(float, row), strict=True)))
            pipeline.zadd("naive:candidates", {str(dataset): float(dataset)})
        pipeline.execute()


def _blob(rng: np.random.Generator) -> bytes:
    features = rng.random(len(USER_FEATURES)).astype(np.float32)
    return UserBlob(features, _history(rng, _LONG_TERM)).pack()


def _history(rng: np.random.Generator, count: int) -> History:
    ids = FIRST_DATASET_ID + rng.choice(FULL_SIZE.datasets, count, replace=False)
    ts = int(MODEL_END.timestamp()) - rng.integers(0, 30 * 86_400, count)
    return History.build(ids, ts, rng.choice(np.array([1, 2, 3, 4], np.uint8), count))
