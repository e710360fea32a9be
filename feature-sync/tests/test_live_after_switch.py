"""An event that a snapshot has taken over counts once, and a new one counts at once.

There are no counters to rebase. Live histories and snapshots hold interactions, readers merge them by dataset and count
what is left; `user_interactions` and the other long-term features come from the snapshot alone.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis as AsyncRedis

from contracts import redis_keys
from contracts.events import BehaviorEvent, InteractionType
from contracts.features import USER_FEATURES
from contracts.snapshot import add_increment, write_snapshot
from contracts.user_blob import History, LiveHistory, PackedHistory, UserBlob
from feature_sync.connections import get_many
from feature_sync.events.live import LiveFeatures
from feature_sync.snapshots.chain import get_users, read_chain
from feature_sync.snapshots.source import fetch_snapshot
from feature_sync.snapshots.switch import Progress, SnapshotSwitch
from ranking.user import HistoryContext, User, make_user

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC).replace(microsecond=0)
USER = 7
CATALOGUE = HistoryContext(np.arange(1, 101), half_life_days=30.0, recent_ranks=4.0, limit=50)


def _event(dataset: int, minutes_ago: float, kind: str = "view") -> BehaviorEvent:
    ts = NOW - timedelta(minutes=minutes_ago)
    return BehaviorEvent(event_id=f"e-{dataset}-{kind}", type=kind, user_id=USER, dataset_id=dataset, ts=ts)


def _snapshot(folder: Path, events: Sequence[BehaviorEvent], base: str | None = None) -> Path:
    """Write what the pipeline makes of the events: the history, and how many interactions it has."""
    features = np.zeros(len(USER_FEATURES), np.float32)
    features[0] = np.log1p(len(events))
    history = History.build(
        np.array([event.dataset_id for event in events], np.int64),
        np.array([int(event.ts.timestamp()) for event in events], np.int64),
        np.array([InteractionType.of(event.type) for event in events], np.uint8),
    )
    until = NOW - timedelta(minutes=10)
    write_snapshot(folder, folder.name, NOW, [(USER, UserBlob(features, history).pack())], events_until=until)
    if base is not None:
        add_increment(folder, folder.parent / base, 1)
    return folder


async def _sync(redis: AsyncRedis, folder: Path) -> None:
    switch = SnapshotSwitch(redis)
    with fetch_snapshot(str(folder), await switch.find_bases()) as snapshot:
        await switch.sync(snapshot, Progress())


async def _read(redis: AsyncRedis) -> User:
    """Return the user as recommender-api ranks for: from the live history and the active snapshot."""
    (live,) = await get_many(redis, [redis_keys.live_history(USER)])
    (blob,) = await get_users(redis, await read_chain(redis), [USER])
    features, long_term = (None, PackedHistory()) if blob is None else UserBlob.opened(blob)
    newer = PackedHistory() if live is None else LiveHistory.opened(live)[1]
    return make_user(features, long_term, newer, CATALOGUE, int(NOW.timestamp()))


def _counts(user: User) -> tuple[int, int, int]:
    """Return the interactions of the last hour and the last day, and the known datasets."""
    hour, day = (round(float(np.expm1(value))) for value in user.session[1:3])
    return hour, day, len(user.seen)


async def test_events_that_a_switch_takes_over_are_not_counted_twice(redis: AsyncRedis, tmp_path: Path) -> None:
    live = LiveFeatures(redis, time.time)
    old = _event(1, 50_000)
    # The snapshot is as of ten minutes ago: it has the first three, and the live history has them still.
    taken_over = [_event(2, 600), _event(3, 40), _event(4, 20, "purchase")]
    since = [_event(5, 5), _event(6, 1)]
    await _sync(redis, _snapshot(tmp_path / "v1", [old]))
    await live.apply([*taken_over, *since])
    before = await _read(redis)
    assert _counts(before) == (4, 5, 6)
    for folder in (
        _snapshot(tmp_path / "v2", [old, *taken_over], base="v1"),
        _snapshot(tmp_path / "v3", [old, *taken_over]),
    ):
        await _sync(redis, folder)
        user = await _read(redis)
        assert _counts(user) == _counts(before)
        assert user.items.tolist() == before.items.tolist()
        assert user.weights.tolist() == before.weights.tolist()
        assert round(float(np.expm1(user.features[0]))) == 4, "the snapshot's own count, to which nothing is added"
        # The stream may deliver an event again, also after the switch.
        assert await live.apply(taken_over) == 0
        assert _counts(await _read(redis)) == _counts(before)


async def test_an_event_after_the_switch_counts_at_once(redis: AsyncRedis, tmp_path: Path) -> None:
    live = LiveFeatures(redis, time.time)
    taken_over = [_event(2, 30)]
    await live.apply(taken_over)
    await _sync(redis, _snapshot(tmp_path / "v1", taken_over))
    assert _counts(await _read(redis)) == (1, 1, 1)
    # `apply` is what a consumer does within a second of the event: no switch and no poll is in between.
    await live.apply([_event(3, 0)])
    user = await _read(redis)
    assert _counts(user) == (2, 2, 2)
    assert user.items[0] == 2, "the position of the newest, dataset 3"
    # A stronger type of a known dataset is no second interaction.
    await live.apply([_event(2, 0, "purchase")])
    assert _counts(await _read(redis)) == (2, 2, 2)
