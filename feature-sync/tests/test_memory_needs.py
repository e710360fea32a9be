"""The table in docs/OPERATIONS.md, "How much memory Redis needs", is what Redis takes, rounded up."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from contracts import redis_keys
from contracts.event_filter import filter_entry
from contracts.events import BehaviorEvent
from contracts.snapshot import write_snapshot
from contracts.user_blob import History, UserBlob
from feature_sync.events.live import LiveFeatures
from feature_sync.snapshots.source import fetch_snapshot
from feature_sync.snapshots.switch import Progress, SnapshotSwitch

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[2] / "docs" / "OPERATIONS.md"
NOW = datetime.now(UTC)
FEATURES = 8


def _documented(row: str) -> float:
    found = re.search(rf"^\| {re.escape(row)} \| ([0-9,]+) B \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, row
    return float(found[1].replace(",", ""))


def _check(row: str, measured: float) -> None:
    documented = _documented(row)
    assert 0.75 * documented < measured < 1.05 * documented, f"{row}: {measured:.1f} B, and the page says {documented}"


class Growth:
    """How much memory Redis takes since the beginning."""

    def __init__(self, plain: Redis) -> None:
        self._plain = plain
        self._before = self._used()

    def bytes(self) -> int:
        return self._used() - self._before

    def _used(self) -> int:
        return int(self._plain.info("memory")["used_memory"])


def _events(users: int, each: int) -> Iterator[list[BehaviorEvent]]:
    for first in range(0, users * each, 500):
        yield [
            BehaviorEvent(
                event_id=f"web-7f3a-{number}",
                type="view",
                user_id=number // each + 1,
                dataset_id=number % 50 + 1,
                request_id="req_5f2b8c0d1e3a",
                position=number % 20,
                ts=NOW - timedelta(seconds=number % 3600),
            )
            for number in range(first, min(users * each, first + 500))
        ]


@pytest.mark.parametrize(("interactions", "users"), [(10, 30_000), (200, 10_000)])
async def test_a_user_in_a_snapshot(
    redis: AsyncRedis, plain: Redis, tmp_path: Path, interactions: int, users: int
) -> None:
    ids = np.arange(1, interactions + 1)
    blob = UserBlob(np.ones(FEATURES, np.float32), History(ids, ids, np.ones(interactions, np.uint8))).pack()
    write_snapshot(tmp_path / "s", "v1", NOW, [(user, blob) for user in range(1, users + 1)])
    growth = Growth(plain)
    with fetch_snapshot(str(tmp_path / "s")) as snapshot:
        await SnapshotSwitch(redis).sync(snapshot, Progress())
    _check(f"a user in a snapshot, with {interactions} interactions", growth.bytes() / users)


@pytest.mark.parametrize(("interactions", "users"), [(10, 2500), (50, 600)])
async def test_a_live_history(redis: AsyncRedis, plain: Redis, interactions: int, users: int) -> None:
    live = LiveFeatures(redis, time.time)
    events = _events(users, interactions)
    # With these, Redis makes what does not grow: scripts, buffers, windows.
    for _ in range(20):
        await live.apply(next(events))
    before, others, growth = len(plain.keys("live:*")), _others(plain), Growth(plain)
    for each in events:
        await live.apply(each)
    grown = growth.bytes() - (_others(plain) - others)
    _check(f"a live history of {interactions} interactions", grown / (users - before))


def _others(plain: Redis) -> int:
    """Return the memory of the filter and the windows."""
    keys = (key for key in plain.scan_iter(count=10_000) if not key.startswith(b"live:"))
    return sum(plain.memory_usage(key) or 0 for key in keys)


async def test_an_event_of_the_last_day_and_one_that_waits(plain: Redis) -> None:
    """The second filter is recommender-api's, of the same form."""
    events, count = _events(2000, 10), 0
    growth = Growth(plain)
    for each in events:
        pipeline = plain.pipeline(transaction=False)
        for event in each:
            for prefix in ("accepted", "counted"):
                bucket, shard, number = filter_entry(event.event_id, event.ts, NOW.timestamp())
                pipeline.sadd(f"{prefix}:{bucket}:0:{shard % 128}", number)
        pipeline.execute()
        count += len(each)
    _check("an event of the last 25 hours, for recognizing repeats", growth.bytes() / count)
    growth = Growth(plain)
    for each in _events(2000, 10):
        pipeline = plain.pipeline(transaction=False)
        for event in each:
            fields: dict[str, str] = event.to_stream()
            pipeline.xadd(redis_keys.EVENT_STREAM, fields)  # type: ignore[arg-type]  # redis-py's type is invariant
        pipeline.execute()
    _check("an event that waits in the stream", growth.bytes() / count)
