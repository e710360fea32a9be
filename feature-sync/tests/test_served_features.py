"""What sampled answers were ranked with reaches the database once, and leaves it after some days."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from sqlalchemy import Row, select, text

from contracts import redis_keys
from contracts.served_features import HEAD_FIELD, VECTORS_FIELD, ServedHead, ServedVectors
from feature_sync.events.log import EventLog
from feature_sync.events.stream import Reading
from feature_sync.forgetting.table import MarkTable
from feature_sync.metrics import Metrics
from feature_sync.served_features.activations import SnapshotActivations
from feature_sync.served_features.consumer import STREAM_SECONDS, ServedFeatureConsumer
from feature_sync.served_features.table import RETENTION, ServedFeatureTable
from feature_sync.served_features.tables import served_features, snapshot_activations
from servicekit.database_calls import DatabaseCalls

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=UTC)
VECTORS = ServedVectors(
    np.array([4, 2], np.int32),
    np.array([[0.5, 1.0], [0.25, 2.0]], np.float32),
    np.array([2], np.int32),
    np.array([0.75], np.float32),
    np.empty(0, np.int32),
    b"",
)


def entry(number: int, user: int = 7, **values: Any) -> dict[Any, Any]:
    """Return the fields of an entry of the stream."""
    given = {
        "user_id": user,
        "served_id": f"srv-{number:016x}",
        "ts": NOW,
        "request_id": "req_1",
        "endpoint": "/recommend/detail",
        "dataset_id": 5,
        "max_items": 10,
        "model_version": "12",
        "bundle_sha256": "a" * 64,
        "snapshot": "s1.hash.token",
        **values,
    }
    head = ServedHead.model_validate(given)
    return {HEAD_FIELD: head.model_dump_json(), VECTORS_FIELD: VECTORS.pack()}


class Stored:
    """The consumer over real stores."""

    def __init__(self, redis: AsyncRedis, log: EventLog) -> None:
        self.engine = log._engine
        self.marks = MarkTable(self.engine, SecretStr("key"))
        self.table = ServedFeatureTable(self.engine, self.marks)
        self.calls = DatabaseCalls(self.engine, 30)
        self.metrics = Metrics()
        self.pauses: list[float] = []
        reading = Reading("one", 10, block_seconds=0.01)
        self.consumer = ServedFeatureConsumer(redis, self.table, self.calls, reading, self.metrics, sleep=self._pause)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def rows(self) -> Sequence[Row[Any]]:
        with self.engine.connect() as connection:
            return connection.execute(select(served_features).order_by(served_features.c.served_id)).all()

    def activations(self) -> list[tuple[str, datetime]]:
        table = snapshot_activations.c
        with self.engine.connect() as connection:
            return [
                (row.version, row.activated_at) for row in connection.execute(select(table).order_by(table.version))
            ]

    def rename(self, table: str, name: str) -> None:
        prefix = "" if self.engine.dialect.name == "sqlite" else "events."
        with self.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {prefix}{table} RENAME TO {name}"))

    def count(self, outcome: str) -> float:
        return self.metrics.served_features.labels(outcome)._value.get()


@pytest.fixture
def stored(redis: AsyncRedis, event_log: EventLog) -> Stored:
    return Stored(redis, event_log)


async def test_an_entry_is_one_row_and_what_cannot_be_read_is_counted(stored: Stored, plain: Redis) -> None:
    await stored.consumer.step()
    # The reader makes the stream, which says that there is one; without a reader it expires.
    assert 0 < plain.ttl(redis_keys.SERVED_STREAM) <= STREAM_SECONDS
    for fields in (entry(1), entry(1), entry(2, dataset_id=None, snapshot=None), {"served": "{}"}, {"other": "x"}):
        plain.xadd(redis_keys.SERVED_STREAM, fields)
    await stored.consumer.step()
    first, second = stored.rows()
    assert (first.served_id, first.user_id, first.ts, first.snapshot) == (f"srv-{1:016x}", 7, NOW, "s1.hash.token")
    assert (second.dataset_id, second.snapshot) == (None, None)
    found = ServedVectors.unpack(first.vectors)
    np.testing.assert_array_equal(found.matrix, VECTORS.matrix)
    assert (plain.xlen(redis_keys.SERVED_STREAM), stored.count("rejected")) == (0, 2)


async def test_entries_wait_for_the_database(stored: Stored, plain: Redis) -> None:
    await stored.consumer.step()
    stored.rename("served_features", "away")
    plain.xadd(redis_keys.SERVED_STREAM, entry(1))
    await stored.consumer.step()
    assert (plain.xlen(redis_keys.SERVED_STREAM), len(stored.pauses)) == (1, 1)
    stored.rename("away", "served_features")
    await stored.consumer.step()
    assert (plain.xlen(redis_keys.SERVED_STREAM), len(stored.rows())) == (0, 1)


async def test_an_entry_from_before_its_user_was_forgotten_stays_out(stored: Stored, plain: Redis) -> None:
    moment = stored.marks.forget(7).moment
    later = moment + timedelta(seconds=1)
    plain.xadd(redis_keys.SERVED_STREAM, entry(1))
    plain.xadd(redis_keys.SERVED_STREAM, entry(2, user=8))
    # The id of an entry says when it was received.
    plain.xadd(redis_keys.SERVED_STREAM, entry(3, ts=later), id=f"{int(later.timestamp() * 1000) + 10_000}-0")
    await stored.consumer.step()
    assert [row.served_id for row in stored.rows()] == [f"srv-{2:016x}", f"srv-{3:016x}"]
    assert stored.marks.forget(8).served_features == 1


async def test_activations_have_their_moment_also_if_the_database_was_away(
    stored: Stored, plain: Redis, redis: AsyncRedis
) -> None:
    moments = [NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=2)]
    left = iter(moments)
    noting = SnapshotActivations(redis, stored.table, stored.calls, lambda: next(left))
    await noting.note()
    assert stored.activations() == []
    plain.set(redis_keys.SNAPSHOT_POINTER, "s1")
    stored.rename("snapshot_activations", "away")
    with pytest.raises(Exception, match="snapshot_activations"):
        await noting.note()
    stored.rename("away", "snapshot_activations")
    await noting.note()
    await noting.note()
    plain.set(redis_keys.SNAPSHOT_POINTER, "s2")
    await noting.note()
    assert stored.activations() == [("s1", moments[0]), ("s2", moments[1])]


async def test_rows_leave_after_three_days_and_the_snapshot_of_the_kept_ones_stays(stored: Stored) -> None:
    table = stored.table
    for day, version in enumerate(("s0", "s1", "s2")):
        table.note_active(version, NOW + timedelta(days=day))
    with stored.engine.begin() as connection:
        for number, age in enumerate((RETENTION, RETENTION - timedelta(seconds=1))):
            values = ServedHead.model_validate_json(entry(number)[HEAD_FIELD]).model_dump()
            moment = NOW + timedelta(days=4) - age
            values |= {"ts": moment, "received_at": moment, "vectors": b"x"}
            connection.execute(served_features.insert().values(**values))
    table.remove_old(NOW + timedelta(days=4, milliseconds=1))
    assert [row.served_id for row in stored.rows()] == [f"srv-{1:016x}"]
    # s1 was active at the beginning of the three days.
    assert [version for version, _ in stored.activations()] == ["s1", "s2"]
