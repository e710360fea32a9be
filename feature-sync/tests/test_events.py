import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from sqlalchemy import Connection, func, select
from stream_worker import Worker

import feature_sync
import monitoring.testing
from contracts import redis_keys
from contracts.events import BehaviorEvent, Exposure, InteractionType
from contracts.user_blob import LiveHistory
from feature_sync.bounds import BoundWatch
from feature_sync.events.consumer import TAKEOVER_CHECK_SECONDS
from feature_sync.events.lag import StreamLag
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import EventLog, LogUnavailableError
from feature_sync.events.stream import ConsumerGroup, Reading
from feature_sync.events.tables import behavior_events
from feature_sync.hot.refresh import HotWindows
from testkit.redis_server import RedisServer

pytestmark = pytest.mark.anyio
MIGRATIONS = Path(feature_sync.__file__).parent / "migrations"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def _event(number: int, **values: Any) -> BehaviorEvent:
    given = {"event_id": f"e-{number}", "type": "view", "user_id": 7, "dataset_id": number, "ts": NOW, **values}
    return BehaviorEvent.model_validate(given)


def _worker(redis: AsyncRedis, log: EventLog, redis_url: str, name: str = "one") -> Worker:
    return Worker(redis, redis_url, log, name=name, clock=NOW.timestamp)


def _send(plain: Redis, events: Sequence[BehaviorEvent]) -> None:
    for event in events:
        plain.xadd(redis_keys.EVENT_STREAM, event.to_stream())


def _live(plain: Redis, user: int = 7) -> LiveHistory:
    blob = plain.get(redis_keys.live_history(user))
    return LiveHistory() if blob is None else LiveHistory.unpack(blob)


def _logged(log: EventLog) -> int:
    with log._engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(behavior_events)).scalar_one())


class _BrokenLog(EventLog):
    """The log of a database that is down until `repaired`."""

    repaired = False

    def add(
        self,
        events: Sequence[BehaviorEvent],
        verify: Callable[[Connection], None] | None = None,
        *,
        exposures: Sequence[Exposure] = (),
        may_be_repeats: bool = False,
    ) -> None:
        if not self.repaired:
            raise LogUnavailableError("the database is down")
        super().add(events, verify, exposures=exposures, may_be_repeats=may_be_repeats)


async def test_a_future_event_never_outranks_todays(redis: AsyncRedis, plain: Redis) -> None:
    today = [_event(number, ts=NOW + timedelta(minutes=number)) for number in range(1, 6)]
    ahead = _event(99, ts=datetime(2099, 1, 1, tzinfo=UTC))
    await LiveFeatures(redis, NOW.timestamp).apply([ahead])
    await LiveFeatures(redis, lambda: NOW.timestamp() + 600).apply(today)
    assert _live(plain).history.ids.tolist() == [5, 4, 3, 2, 1, 99]


async def test_future_times_of_an_earlier_release_are_corrected_with_the_next_event(
    redis: AsyncRedis, plain: Redis
) -> None:
    ahead = [np.array([column]) for column in (99, int(datetime(2099, 1, 1, tzinfo=UTC).timestamp()), 4)]
    plain.set(redis_keys.live_history(7), LiveHistory().append(ahead[0], ahead[1], ahead[2].astype(np.uint8)).pack())
    await LiveFeatures(redis, NOW.timestamp).apply([_event(1, ts=NOW - timedelta(hours=1))])
    await LiveFeatures(redis, lambda: NOW.timestamp() + 60).apply([_event(2, ts=NOW + timedelta(minutes=1))])
    assert _live(plain).history.ids.tolist() == [2, 99, 1]


async def test_an_event_is_logged_applied_and_gone_from_the_stream(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    _send(plain, [_event(1, ts=NOW - timedelta(seconds=1)), _event(2, type="purchase")])
    await _worker(redis, event_log, redis_url).step()
    live = _live(plain)
    assert live.history.ids.tolist() == [2, 1]
    assert live.history.types.tolist() == [InteractionType.PURCHASE, InteractionType.VIEW]
    assert _logged(event_log) == 2
    assert plain.xlen(redis_keys.EVENT_STREAM) == 0
    assert plain.ttl(redis_keys.live_history(7)) > 89 * 86_400


async def test_the_sequence_grows_with_each_change_and_not_with_a_repeated_event(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    worker = _worker(redis, event_log, redis_url)
    sequences = []
    for number in (1, 2, 2, 3):
        _send(plain, [_event(number)])
        await worker.step()
        sequences.append(_live(plain).sequence)
    assert sequences == [1, 2, 2, 3]
    assert _logged(event_log) == 3


async def test_with_the_database_down_live_features_continue_and_nothing_is_lost(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    broken = _BrokenLog(event_log._engine)
    worker = _worker(redis, broken, redis_url)
    _send(plain, [_event(number) for number in range(1, 6)])
    with monitoring.testing.captured() as reports:
        await worker.step()
        await worker.step()
        assert reports.of("pipeline.database")[0].fingerprint[:3] == ("database", "events", "insert_events")
        assert (_live(plain).sequence, len(_live(plain).history)) == (1, 5)
        assert (plain.xlen(redis_keys.EVENT_STREAM), _logged(event_log)) == (5, 0)
        broken.repaired = True
        await worker.step()
        assert [each.point_id for each in reports.recovered].count("pipeline.database") == 1
    assert (plain.xlen(redis_keys.EVENT_STREAM), _logged(event_log)) == (0, 5)
    assert _live(plain).sequence == 1
    await HotWindows(redis, NOW.timestamp).refresh()
    assert plain.zscore("hot:24h", "1") == 1.0


@pytest.mark.parametrize("group", [redis_keys.LIVE_GROUP, redis_keys.LOG_GROUP])
async def test_entries_of_a_dead_consumer_are_taken_over_and_its_name_is_removed(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog, group: str
) -> None:
    dead = ConsumerGroup(redis, redis_keys.EVENT_STREAM, group, Reading("dead", 500))
    await dead.prepare()
    _send(plain, [_event(1)])
    assert len(await dead.take()) == 1
    heir = Worker(redis, redis_url, event_log, name="heir", clock=NOW.timestamp, takeover_seconds=0.0)
    for _ in range(4):
        await heir.step()
        heir.now += TAKEOVER_CHECK_SECONDS
    assert (_logged(event_log), _live(plain).history.ids.tolist()) == (1, [1])
    assert [each["name"] for each in plain.xinfo_consumers(redis_keys.EVENT_STREAM, group)] == [b"heir"]
    assert plain.xlen(redis_keys.EVENT_STREAM) == 0


async def test_a_consumer_that_has_entries_or_was_active_keeps_its_name(redis: AsyncRedis, plain: Redis) -> None:
    busy, idle, fresh, own = (
        ConsumerGroup(redis, redis_keys.EVENT_STREAM, "live", Reading(name, 1, 0.02, takeover))
        for name, takeover in (("busy", 60.0), ("idle", 60.0), ("fresh", 60.0), ("own", 0.0))
    )
    await own.prepare()
    _send(plain, [_event(1), _event(2), _event(3)])
    assert await busy.take()
    await idle.done([entry for entry, _ in await idle.take()])
    assert await own.remove_dead_consumers() == 1
    await fresh.done([entry for entry, _ in await fresh.take()])
    assert await busy.remove_dead_consumers() == 0
    names = {each["name"] for each in plain.xinfo_consumers(redis_keys.EVENT_STREAM, "live")}
    assert names == {b"busy", b"fresh"}


async def test_an_entry_stays_until_every_group_has_it_and_a_third_group_is_one(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    worker = _worker(redis, event_log, redis_url)
    plain.xgroup_create(redis_keys.EVENT_STREAM, "sink", "0", mkstream=True)
    _send(plain, [_event(number) for number in range(1, 301)])
    await worker.live.step()
    await worker.retention.trim()
    assert plain.xlen(redis_keys.EVENT_STREAM) == 300, "the log doesn't have them"
    await worker.step()
    assert plain.xlen(redis_keys.EVENT_STREAM) == 300, "the sink doesn't have them"
    taken = plain.xreadgroup("sink", "mine", {redis_keys.EVENT_STREAM: ">"}, count=200)[0][1]
    plain.xack(redis_keys.EVENT_STREAM, "sink", *(entry for entry, _ in taken[50:]))
    await worker.retention.trim()
    assert plain.xlen(redis_keys.EVENT_STREAM) == 300, "its first entries are pending"
    plain.xack(redis_keys.EVENT_STREAM, "sink", *(entry for entry, _ in taken))
    await worker.retention.trim()
    assert plain.xlen(redis_keys.EVENT_STREAM) == 100
    plain.xgroup_destroy(redis_keys.EVENT_STREAM, "sink")
    await worker.retention.trim()
    assert plain.xlen(redis_keys.EVENT_STREAM) == 0


async def test_the_lag_is_that_of_each_group(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    worker = _worker(redis, event_log, redis_url)
    await worker.step()
    _send(plain, [_event(number) for number in range(1, 8)])
    await worker.live.step()
    lag = StreamLag(redis, redis_keys.EVENT_STREAM, worker.metrics, BoundWatch("pipeline.feature_store_lag", 60))
    await lag.measure()
    assert lag.entries == 7
    exposition = worker.metrics.exposition()
    assert b'sync_stream_lag{group="live"} 0.0' in exposition
    assert b'sync_stream_lag{group="log"} 7.0' in exposition


async def test_a_repeated_event_is_logged_unless_its_whole_id_was(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    worker = _worker(redis, event_log, redis_url)
    _send(plain, [_event(1)])
    await worker.step()
    for event in (_event(1), _event(2)):
        fields: Any = event.to_stream()
        plain.xadd(redis_keys.REPEATED_EVENTS, fields)
    await worker.repeated.step()
    assert _logged(event_log) == 2


async def test_an_invalid_event_becomes_a_dead_letter_and_blocks_no_other(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    plain.xadd(redis_keys.EVENT_STREAM, {"event": '{"event_id": "x"}'})
    plain.xadd(redis_keys.EVENT_STREAM, {"foreign": "entry"})
    _send(plain, [_event(1)])
    with monitoring.testing.captured() as reports:
        await _worker(redis, event_log, redis_url).step()
    assert _logged(event_log) == 1
    assert plain.xlen(redis_keys.EVENT_STREAM) == 0
    assert [fields[b"foreign"] for _, fields in plain.xrange(redis_keys.DEAD_LETTERS) if b"foreign" in fields] == [
        b"entry"
    ]
    assert reports.of("pipeline.data_quality")[0].tags["metric_value"] == "2"


async def test_two_replicas_that_update_one_user_lose_nothing(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    live = LiveFeatures(redis, NOW.timestamp)
    await asyncio.gather(*(live.apply([_event(number)]) for number in range(1, 21)))
    assert sorted(_live(plain).history.ids.tolist()) == list(range(1, 21))
    assert _live(plain).sequence == 20


async def test_windows_slide(redis: AsyncRedis, plain: Redis) -> None:
    at = [NOW.timestamp()]
    live, windows = LiveFeatures(redis, lambda: at[0]), HotWindows(redis, lambda: at[0])
    await live.apply([_event(1, type="purchase"), _event(2), _event(3, ts=NOW - timedelta(hours=2))])
    await windows.refresh()
    assert plain.zrange("hot:1h", 0, -1, withscores=True) == [(b"2", 1.0), (b"1", 3.0)]
    assert plain.zscore("hot:24h", "3") == 1.0
    at[0] += 2 * 3600
    await windows.refresh()
    assert plain.exists("hot:1h") == 0
    assert plain.zscore("hot:24h", "1") == 3.0
    assert plain.ttl("hot:24h") > 0


async def test_a_lost_redis_is_reported_once_and_its_return_too(
    redis: AsyncRedis, redis_server: RedisServer, redis_url: str, event_log: EventLog
) -> None:
    worker = _worker(redis, event_log, redis_url)
    with monitoring.testing.captured() as reports:
        redis_server.kill()
        try:
            await worker.live.step()
        finally:
            redis_server.restart()
        (report,) = reports.of("redis.connection_failed")
        assert report.tags["redis_port"] == str(redis_server.port)
        await worker.step()
        assert "redis.connection_failed" in {each.point_id for each in reports.recovered}
