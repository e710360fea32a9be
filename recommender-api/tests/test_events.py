"""`POST /events`: an accepted event is durable, and counts once even if it is sent again during a Redis fault."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

import monitoring.testing
from contracts import redis_keys
from contracts.events import BehaviorEvent, Exposure, read_entry, receipt_of
from contracts.ids import hash_id
from recommender_api.events import EventIntake
from recommender_api.events.journal import Journal, JournalError, JournalFullError, JournalInUseError
from recommender_api.events.receipts import EventProblem
from recommender_api.metrics import Metrics
from recommender_api.redis_store import (
    Address,
    Breaker,
    GuardedStore,
    MemoryStore,
    NewEvent,
    StoreUnavailableError,
)
from testkit.redis_server import RedisServer
from testkit.running_app import RunningApp

TOKEN = "events-token-of-the-tests"
Until = Callable[..., None]


def event(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"e-{number}",
        "type": "purchase",
        "user_id": 7,
        "dataset_id": 105,
        "request_id": "req_1",
        "position": 3,
        "ts": "2026-01-01T00:00:00Z",
    } | changes


def post(api: RunningApp, *events: dict[str, Any]) -> dict[str, Any]:
    response = api.post("/events", {"events": events}, token=TOKEN)
    assert response.status_code == 202, response.text
    receipt: dict[str, Any] = response.json()
    return receipt


def stored(client: redis.Redis) -> list[BehaviorEvent]:
    found = [read_entry(fields) for _, fields in client.xrange(redis_keys.EVENT_STREAM)]
    return [each for each in found if not isinstance(each, Exposure)]


def test_an_accepted_event_is_in_the_stream_and_counts_once(api: RunningApp, redis_client: redis.Redis) -> None:
    assert post(api, event(1), event(2), event(1)) == {"accepted": 2, "duplicates": 1}
    assert post(api, event(2), event(3)) == {"accepted": 1, "duplicates": 1}
    assert stored(redis_client) == [BehaviorEvent.model_validate(event(n)) for n in (1, 2, 3)]


def test_events_need_the_token(api: RunningApp) -> None:
    for token, status in ((None, 401), ("wrong", 401), ("admin-token-of-the-tests", 403)):
        refused = api.post("/events", {"events": [event(1)]}, token=token)
        assert refused.status_code == status
        assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "like"}, "type"),
        ({"user_id": 0}, "user_id"),
        ({"user_id": "1.0"}, "user_id"),
        ({"dataset_id": 2**63}, "dataset_id"),
        ({"dataset_id": True}, "dataset_id"),
        ({"ts": "2026-01-01T00:00:00"}, "ts"),
        ({"ts": "9999-12-31T23:59:59-14:00"}, "ts"),
        ({"ts": "0001-01-01T00:00:00+14:00"}, "ts"),
        ({"ts": "1999-12-31T23:59:59Z"}, "ts"),
        ({"ts": "2099-01-01T00:00:00Z"}, "ts"),
        ({"event_id": ""}, "event_id"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_invalid_event_is_rejected_alone(
    api: RunningApp, redis_client: redis.Redis, change: dict[str, Any], field: str
) -> None:
    batch = [event(1, **change), event(2), event(2)]
    refused = api.post("/events", {"events": batch}, token=TOKEN)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    problem = EventProblem.model_validate_json(refused.content)
    assert (problem.accepted, problem.duplicates) == (1, 1)
    assert [(error.index, error.field) for error in problem.errors] == [(0, field)]
    assert [event.event_id for event in stored(redis_client)] == ["e-2"]
    again = EventProblem.model_validate_json(api.post("/events", {"events": batch}, token=TOKEN).content)
    assert (again.accepted, again.duplicates, again.errors) == (0, 2, problem.errors)
    assert len(stored(redis_client)) == 1
    reason = "unknown_field" if field == "colour" else field
    assert f'recommender_events_refused_total{{reason="{reason}"}} 2.0' in api.http.get("/metrics").text


@pytest.mark.parametrize("body", [{}, {"events": []}, {"events": {}}, {"events": [event(1)], "more": 1}, [event(1)]])
def test_a_body_that_is_not_a_batch_is_rejected_as_a_whole(
    api: RunningApp, redis_client: redis.Redis, body: Any
) -> None:
    refused = api.post("/events", body, token=TOKEN)
    assert refused.status_code == 422
    assert "accepted" not in refused.json()
    assert stored(redis_client) == []


def test_text_ids_travel_as_their_numbers(api: RunningApp, redis_client: redis.Redis) -> None:
    assert post(api, event(1, user_id="c2a1f0de", dataset_id="SKU-77")) == {"accepted": 1, "duplicates": 0}
    (one,) = stored(redis_client)
    assert (one.user_id, one.dataset_id) == (hash_id("c2a1f0de", "user"), hash_id("SKU-77", "dataset"))
    assert "recommender_events_unknown_dataset_total 1.0" in api.http.get("/metrics").text


@pytest.mark.anyio
async def test_an_event_may_be_five_minutes_ahead_of_the_clock(journal: Journal) -> None:
    memory = MemoryStore()
    store = GuardedStore(memory, Breaker(memory.probe, on_close=lambda: None), Address("localhost", 6379, 0))
    intake = EventIntake(
        store, store.without_reporting(), journal, Metrics(), now=lambda: datetime(2026, 1, 1, 12, tzinfo=UTC)
    )
    moments = ["2026-01-01T12:05:00Z", "2026-01-01T12:05:01Z", "2026-01-01T20:00:00Z"]
    taken = await intake.take([BehaviorEvent.model_validate(event(n, ts=ts)) for n, ts in enumerate(moments)])
    assert taken.receipt.accepted == 1
    assert [index for index, _ in taken.refused] == [1, 2]
    assert taken.refused[1][1][0].message == ("lies 7.9 h in the future; is it a local time? add its offset, as +08:00")


def test_events_accepted_while_redis_is_dead_are_in_the_stream_in_order_when_it_is_back(
    api: RunningApp, redis_client: redis.Redis, held_redis: RedisServer, until: Until
) -> None:
    post(api, event(0))
    held_redis.kill()
    for number in range(1, 20):
        assert post(api, event(number)) == {"accepted": 1, "duplicates": 0}
    assert post(api, event(5), event(20)) == {"accepted": 1, "duplicates": 1}
    assert api.ask("/health")["checks"]["events"]["status"] == "degraded"
    held_redis.restart()
    until(lambda: redis_client.xlen(redis_keys.EVENT_STREAM) == 21)
    assert [e.event_id for e in stored(redis_client)] == [f"e-{number}" for number in range(21)]
    until(lambda: api.ask("/health")["checks"]["events"]["status"] == "healthy")
    assert post(api, event(5), event(21)) == {"accepted": 1, "duplicates": 1}


def test_journaled_events_survive_the_end_of_the_process(
    start: Callable[..., RunningApp],
    redis_client: redis.Redis,
    held_redis: RedisServer,
    until: Until,
) -> None:
    first = start()
    held_redis.kill()
    post(first, event(1), event(2))
    first.__exit__(None, None, None)
    held_redis.restart()
    start()
    until(lambda: redis_client.xlen(redis_keys.EVENT_STREAM) == 2)


def test_an_outage_is_reported_with_the_requests_id(api: RunningApp, held_redis: RedisServer) -> None:
    held_redis.kill()
    with monitoring.testing.captured() as reports:
        api.http.post(
            "/events",
            json={"events": [event(1)]},
            headers={"Authorization": f"Bearer {TOKEN}", "X-Request-ID": "r-event"},
        )
    assert reports.point_ids == ["redis.connection_failed"]
    assert reports[0].tags["request_id"] == "r-event"


@pytest.mark.anyio
async def test_while_older_events_wait_newer_ones_are_queued_after_them(journal: Journal) -> None:
    memory = MemoryStore()
    store = GuardedStore(memory, Breaker(memory.probe, on_close=lambda: None), Address("localhost", 6379, 0))
    intake = EventIntake(store, store.without_reporting(), journal, Metrics())
    memory.error = StoreUnavailableError("down", "ConnectionError")
    await intake.take([BehaviorEvent.model_validate(event(1))])
    memory.error = None
    await intake.take([BehaviorEvent.model_validate(event(2))])
    assert memory.stream == []
    await intake.replay()
    await intake.take([BehaviorEvent.model_validate(event(3))])
    ids = [BehaviorEvent.model_validate_json(body).event_id for body in memory.stream]
    assert ids == ["e-1", "e-2", "e-3"]


@pytest.mark.anyio
async def test_an_event_that_waits_in_the_journal_says_when_it_was_received(journal: Journal) -> None:
    memory = MemoryStore()
    store = GuardedStore(memory, Breaker(memory.probe, on_close=lambda: None), Address("localhost", 6379, 0))
    now = [datetime(2026, 1, 1, 12, tzinfo=UTC)]
    intake = EventIntake(store, store.without_reporting(), journal, Metrics(), now=lambda: now[0])
    await intake.take([BehaviorEvent.model_validate(event(1))])
    memory.error = StoreUnavailableError("down", "ConnectionError")
    await intake.take([BehaviorEvent.model_validate(event(2))])
    memory.error = None
    now[0] += timedelta(hours=1)
    await intake.replay()
    entries = [{b"event": body} for body in memory.stream]
    assert [receipt_of(fields) for fields in entries] == [None, now[0] - timedelta(hours=1)]
    assert [read_entry(fields) for fields in entries] == [BehaviorEvent.model_validate(event(n)) for n in (1, 2)]


def new(*numbers: int) -> list[NewEvent]:
    return [NewEvent(f"e-{number}", b'{"n":%d}' % number) for number in numbers]


@contextmanager
def opened(folder: Path, max_bytes: int = 10_000) -> Iterator[Journal]:
    journal = Journal(folder, max_bytes=max_bytes)
    journal.open()
    yield journal
    journal.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with opened(tmp_path) as journal:
        yield journal


def test_a_journal_returns_its_events_in_order_and_block_by_block(journal: Journal) -> None:
    journal.append(new(1, 2))
    journal.append(new(3))
    first, offset = journal.next(30)
    assert first == new(1, 2)
    journal.mark_replayed(offset)
    journal.append(new(4))
    rest, offset = journal.next(10_000)
    assert rest == new(3, 4)
    journal.mark_replayed(offset)
    assert journal.waiting_bytes == 0
    assert journal.append(new(1)) == 1


def test_a_journal_stores_a_waiting_event_once(journal: Journal) -> None:
    assert journal.append(new(1, 2, 1)) == 2
    assert journal.append(new(2, 3)) == 1


def test_a_full_journal_accepts_nothing_and_loses_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=40) as journal:
        journal.append(new(1, 2))
        with pytest.raises(JournalFullError):
            journal.append(new(3, 4))
        assert journal.next(1000)[0] == new(1, 2)


def test_an_append_that_a_crash_cut_short_is_discarded_and_the_rest_is_read(journal: Journal, tmp_path: Path) -> None:
    journal.append(new(1, 2))
    journal.close()
    with (tmp_path / "events.journal").open("ab") as file:
        file.write(b'e-3\t{"n"')
    with opened(tmp_path) as again:
        again.append(new(4))
        assert again.next(1000)[0] == new(1, 2, 4)
        assert again.append(new(2)) == 0


def test_a_journal_belongs_to_one_process(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(JournalInUseError, match="EVENT_JOURNAL_DIR"):
        Journal(tmp_path, max_bytes=10_000).open()


def test_a_journal_that_cannot_be_written_raises_an_error_that_says_so(journal: Journal) -> None:
    journal.close()
    with pytest.raises(JournalError):
        journal.append(new(1))


def test_a_full_journal_is_a_503_that_asks_for_a_retry(
    start: Callable[..., RunningApp], held_redis: RedisServer
) -> None:
    api = start(event_journal_max_mb=1)
    held_redis.kill()
    batch = {"events": [event(n, event_id=f"{n:060d}") for n in range(1000)]}
    statuses = []
    for number in range(10):
        for one in batch["events"]:
            one["event_id"] = f"{number:03d}{one['event_id'][3:]}"
        response = api.post("/events", batch, token=TOKEN)
        statuses.append(response.status_code)
    assert statuses[0] == 202
    assert statuses[-1] == 503
    assert response.headers["Retry-After"]
    assert "send them again" in response.json()["detail"]


def test_events_wait_in_the_journal_while_the_stream_is_full_and_live_histories_stay(
    start: Callable[..., RunningApp], redis_client: redis.Redis, until: Until
) -> None:
    """Nothing of that is a fault of Redis: it is not reported as one, and the breaker stays closed."""
    redis_client.set(redis_keys.live_history(7), b"live", ex=3600)
    api = start(stream_max_mb=1, event_journal_max_mb=1)
    post(api, event(0))
    pipeline = redis_client.pipeline(transaction=False)
    for number in range(300):
        pipeline.xadd(redis_keys.EVENT_STREAM, {"event": b"x" * 4000}, id=f"{2**50 + number}-0")
    pipeline.execute()
    with monitoring.testing.captured() as reports:
        for number in range(1, 6):
            assert post(api, event(number)) == {"accepted": 1, "duplicates": 0}
        checks = api.ask("/health")["checks"]
        assert checks["redis"]["status"] == "healthy"
        assert checks["events"]["status"] == "degraded"
        assert checks["events"]["detail"].endswith("bytes of events wait for room in the event stream")
        assert "recommender_event_stream_full 1.0" in api.http.get("/metrics").text
        statuses = set()
        for number in range(10):
            batch = [event(n, event_id=f"{number:03d}-{n:050d}") for n in range(1000)]
            statuses.add(api.post("/events", {"events": batch}, token=TOKEN).status_code)
        assert statuses == {202, 503}
        assert redis_client.xlen(redis_keys.EVENT_STREAM) == 301
        redis_client.xtrim(redis_keys.EVENT_STREAM, 0)
        until(lambda: api.ask("/health")["checks"]["events"]["status"] == "healthy")
    assert list(reports) == []
    assert "recommender_event_stream_full 0.0" in api.http.get("/metrics").text
    assert [each.event_id for each in stored(redis_client)][:5] == [f"e-{number}" for number in range(1, 6)]
    assert redis_client.xlen(redis_keys.REPEATED_EVENTS) == 0
    assert redis_client.get(redis_keys.live_history(7)) == b"live"


@pytest.mark.parametrize("harm", [b"no event at all", b"\xff\xfe\x00", b"", b"e-9\t" + b"x" * 5000, b"\x0b\x1c\x85"])
def test_a_line_that_is_not_an_event_or_longer_than_a_block_does_not_block_the_rest(
    tmp_path: Path, harm: bytes
) -> None:
    (tmp_path / "events.journal").write_bytes(b'e-1\t{"n":1}\n' + harm + b'\ne-2\t{"n":2}\n')
    journal = Journal(tmp_path, max_bytes=10_000)
    journal.open()
    replayed: list[str] = []
    for _ in range(5):
        events, offset = journal.next(20)
        replayed += [event.event_id for event in events]
        journal.mark_replayed(offset)
    assert [event_id for event_id in replayed if event_id != "e-9"] == ["e-1", "e-2"]
    assert journal.waiting_bytes == 0
    journal.close()


def test_a_journal_that_another_process_truncated_is_finished(journal: Journal, tmp_path: Path) -> None:
    journal.append(new(1, 2))
    journal._path.write_bytes(b"")
    events, offset = journal.next(1000)
    journal.mark_replayed(offset)
    assert (events, journal.waiting_bytes) == ([], 0)
