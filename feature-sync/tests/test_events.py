import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from sqlalchemy import func, select, text

import feature_sync
import monitoring.testing
from contracts import redis_keys
from contracts.events import BehaviorEvent, Exposures, InteractionType
from contracts.user_blob import LiveHistory
from feature_sync.connections import RedisFaults
from feature_sync.events.consumer import EventConsumer
from feature_sync.events.dead_letters import DeadLetters
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import SCHEMA, EventLog, LogUnavailableError, behavior_events
from feature_sync.events.stream import EventStream
from feature_sync.hot.windows import HotWindows
from feature_sync.metrics import Metrics
from servicekit.database import migrate
from testkit.redis_server import RedisServer

pytestmark = pytest.mark.anyio
MIGRATIONS = Path(feature_sync.__file__).parent / "migrations"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def _event(number: int, **values: Any) -> BehaviorEvent:
    given = {"event_id": f"e-{number}", "type": "view", "user_id": 7, "dataset_id": number, "ts": NOW, **values}
    return BehaviorEvent.model_validate(given)


async def _no_sleep(_: float) -> None:
    await asyncio.sleep(0)


def _consumer(redis: AsyncRedis, log: EventLog, redis_url: str, name: str = "one") -> EventConsumer:
    return EventConsumer(
        EventStream(redis, name, 500),
        LiveFeatures(redis, NOW.timestamp),
        log,
        DeadLetters(redis, 10_000),
        faults=RedisFaults(redis_url),
        metrics=Metrics(),
        sleep=_no_sleep,
    )


async def _step(consumer: EventConsumer) -> None:
    """Let each of the two loops go round once."""
    await consumer.apply_new()
    await consumer.log_applied()


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

    def add(self, events: Sequence[BehaviorEvent]) -> None:
        if not self.repaired:
            raise LogUnavailableError("the database is down")
        super().add(events)


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
    await _step(_consumer(redis, event_log, redis_url))
    live = _live(plain)
    assert live.history.ids.tolist() == [2, 1]
    assert live.history.types.tolist() == [InteractionType.PURCHASE, InteractionType.VIEW]
    assert _logged(event_log) == 2
    assert plain.xlen(redis_keys.EVENT_STREAM) == 0
    assert plain.ttl(redis_keys.live_history(7)) > 89 * 86_400


async def test_the_sequence_grows_with_each_change_and_not_with_a_repeated_event(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    consumer = _consumer(redis, event_log, redis_url)
    sequences = []
    for number in (1, 2, 2, 3):
        _send(plain, [_event(number)])
        await _step(consumer)
        sequences.append(_live(plain).sequence)
    assert sequences == [1, 2, 2, 3]
    assert _logged(event_log) == 3


async def test_an_exposure_is_logged_and_not_an_interest(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    shown = Exposures(
        exposure_id="exp-1", user_id=7, dataset_ids=[1, 2], request_id="req_1", experiment_variant="canary-2", ts=NOW
    )
    _send(plain, [_event(1, type="exposure", position=0, request_id="req_1")])
    plain.xadd(redis_keys.EVENT_STREAM, {"exposures": shown.model_dump_json()})
    await _step(_consumer(redis, event_log, redis_url))
    assert (_logged(event_log), _live(plain).sequence) == (3, 0)
    with event_log._engine.connect() as connection:
        sides = connection.execute(select(behavior_events.c.experiment_variant)).scalars().all()
    assert sorted(map(str, sides)) == ["None", "canary-2", "canary-2"]
    assert plain.keys("hot:*") == []


def test_an_older_log_without_experiments_gets_their_column(event_log: EventLog) -> None:
    engine = event_log._engine
    schema = "" if engine.dialect.name == "sqlite" else f"{SCHEMA}."
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {schema}behavior_events DROP COLUMN experiment_variant"))
        connection.execute(text(f"DROP TABLE {schema}withdrawn_datasets"))
        connection.execute(text(f"UPDATE {schema}alembic_version SET version_num = '0001'"))
    migrate(engine, SCHEMA, MIGRATIONS)
    event_log.add([_event(1, experiment_variant="control")])
    assert _logged(event_log) == 1


async def test_with_the_database_down_live_features_continue_and_nothing_is_lost(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    broken = _BrokenLog(event_log._engine)
    consumer = _consumer(redis, broken, redis_url)
    _send(plain, [_event(number) for number in range(1, 6)])
    with monitoring.testing.captured() as reports:
        await _step(consumer)
        await _step(consumer)
        assert reports.of("pipeline.database")[0].fingerprint[:3] == ("database", "events", "insert_events")
        assert (_live(plain).sequence, len(_live(plain).history)) == (1, 5)
        assert (plain.xlen(redis_keys.EVENT_STREAM), _logged(event_log)) == (5, 0)
        broken.repaired = True
        await _step(consumer)
        assert [each.point_id for each in reports.recovered].count("pipeline.database") == 1
    assert (plain.xlen(redis_keys.EVENT_STREAM), _logged(event_log)) == (0, 5)
    assert _live(plain).sequence == 1
    assert plain.zscore(redis_keys.hot_bucket("24h", int(NOW.timestamp()) // 900), "1") == 1.0


async def test_entries_of_a_dead_consumer_are_taken_over(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = EventStream(redis, "dead", 500)
    await dead.prepare()
    _send(plain, [_event(1)])
    assert len(await dead.take()) == 1
    (entry,) = plain.xpending_range(redis_keys.EVENT_STREAM, redis_keys.EVENT_STREAM_GROUP, "-", "+", 10)
    plain.execute_command(
        *("XCLAIM", redis_keys.EVENT_STREAM, redis_keys.EVENT_STREAM_GROUP, "dead", 0, entry["message_id"]),
        *("IDLE", 120_000),
    )
    await _step(_consumer(redis, event_log, redis_url, "heir"))
    assert _logged(event_log) == 1


async def test_an_invalid_event_becomes_a_dead_letter_and_blocks_no_other(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    plain.xadd(redis_keys.EVENT_STREAM, {"event": '{"event_id": "x"}'})
    plain.xadd(redis_keys.EVENT_STREAM, {"foreign": "entry"})
    _send(plain, [_event(1)])
    with monitoring.testing.captured() as reports:
        await _step(_consumer(redis, event_log, redis_url))
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
    consumer = _consumer(redis, event_log, redis_url)
    with monitoring.testing.captured() as reports:
        redis_server.kill()
        try:
            await consumer.apply_new()
        finally:
            redis_server.restart()
        (report,) = reports.of("redis.connection_failed")
        assert report.tags["redis_port"] == str(redis_server.port)
        await _step(consumer)
        assert "redis.connection_failed" in {each.point_id for each in reports.recovered}
