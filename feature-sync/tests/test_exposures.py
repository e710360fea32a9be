"""Exposures: one row an answer; those that callers post of the same answer don't count beside ours."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from sqlalchemy import Row, select
from stream_worker import Worker

from contracts import redis_keys
from contracts.events import BehaviorEvent, Exposure
from feature_sync.events.exposures import exposures
from feature_sync.events.log import EventLog
from feature_sync.events.tables import behavior_events
from feature_sync.forgetting.table import MarkTable
from localservers.waiting import wait_until

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def _shown(name: str = "exp-1", **values: Any) -> Exposure:
    given = {
        "exposure_id": name,
        "user_id": 7,
        "dataset_ids": [11, 12],
        "request_id": "req_1",
        "endpoint": "/recommend/user",
        "model_version": "12",
        "model_variant": "canary",
        "experiment_variant": "canary-12",
        "fallback_level": 0,
        "scores": [0.5, 0.25],
        "channels": ["behavior+content", "popular"],
        "ts": NOW,
        **values,
    }
    return Exposure.model_validate(given)


def _posted(name: str, **values: Any) -> BehaviorEvent:
    given = {
        "event_id": name,
        "type": "exposure",
        "user_id": 7,
        "dataset_id": 12,
        "request_id": "req_1",
        "position": 1,
        "ts": NOW + timedelta(seconds=2),
        **values,
    }
    return BehaviorEvent.model_validate(given)


def _rows(log: EventLog) -> Sequence[Row[Any]]:
    with log._engine.connect() as connection:
        return connection.execute(select(exposures).order_by(exposures.c.exposure_id)).all()


def _logged(log: EventLog) -> set[str]:
    with log._engine.connect() as connection:
        return set(connection.execute(select(behavior_events.c.event_id)).scalars())


async def test_an_answer_is_one_row_also_if_delivered_twice_and_no_interest(
    redis: AsyncRedis, plain: Redis, redis_url: str, event_log: EventLog
) -> None:
    given = [_shown(), _shown("exp-2", user_id=None, propensity=[1.0, 0.5]), _shown("exp-3", dataset_ids=[])]
    for each in [*given, *given]:
        plain.xadd(redis_keys.EVENT_STREAM, {"exposures": each.model_dump_json()})
    # As the release before sends it.
    before = '{"exposure_id":"exp-4","user_id":7,"dataset_ids":[5],"request_id":"r","ts":"2026-11-24T12:00:00Z"}'
    plain.xadd(redis_keys.EVENT_STREAM, {"exposures": before})
    await Worker(redis, redis_url, event_log, clock=NOW.timestamp).step()
    found = [Exposure.model_validate({**row._mapping, "received_at": None}) for row in _rows(event_log)]
    assert found == [*given, Exposure.model_validate_json(before)]
    assert (_logged(event_log), plain.xlen(redis_keys.EVENT_STREAM)) == (set(), 0)
    assert plain.keys("live:*") + plain.keys("hot:*") == []


def test_a_callers_exposure_of_the_same_place_within_an_hour_counts_once(event_log: EventLog) -> None:
    # The caller is faster than our log.
    event_log.add([_posted("before"), _posted("other-place", position=0), _posted("other-user", user_id=8)])
    event_log.add([], exposures=[_shown()])
    kept = {"other-place", "other-user"}
    assert _logged(event_log) == kept
    event_log.add([_posted("after"), _posted("without-place", position=None), _posted("view", type="view")])
    event_log.add([_posted("much-later", ts=NOW + timedelta(hours=2))])
    event_log.add([_posted("again", ts=NOW + timedelta(hours=2, minutes=30))])
    event_log.add([_posted("req-2", request_id="req_2"), _posted("req-2-again", request_id="req_2")])
    event_log.add([_posted("no-request", request_id=None), _posted("no-request-2", request_id=None)])
    kept |= {"view", "much-later", "req-2", "no-request", "no-request-2"}
    assert _logged(event_log) == kept
    # Ours count always: a caller may send the same request id again.
    event_log.add([], exposures=[_shown("exp-2", ts=NOW + timedelta(seconds=9))])
    assert [row.exposure_id for row in _rows(event_log)] == ["exp-1", "exp-2"]


def test_a_callers_exposure_waits_for_ours_that_is_being_inserted(postgres_log: EventLog) -> None:
    inserted, finish = Event(), Event()

    def hold(_: object) -> None:
        inserted.set()
        assert finish.wait(10)

    with ThreadPoolExecutor() as pool:
        ours = pool.submit(postgres_log.add, [], hold, exposures=[_shown()])
        assert inserted.wait(10)
        theirs = pool.submit(postgres_log.add, [_posted("caller")])
        time.sleep(0.3)
        finish.set()
        ours.result()
        theirs.result()
    assert (len(_rows(postgres_log)), _logged(postgres_log)) == (1, set())


def test_a_user_who_is_forgotten_has_no_exposure_also_if_one_is_being_inserted(postgres_log: EventLog) -> None:
    inserted, finish = Event(), Event()
    marks = MarkTable(postgres_log._engine, SecretStr("s" * 32))

    def hold(_: object) -> None:
        inserted.set()
        assert finish.wait(10)

    with ThreadPoolExecutor() as pool:
        inserting = pool.submit(postgres_log.add, [], hold, exposures=[_shown(), _shown("exp-2", user_id=8)])
        assert inserted.wait(10)
        forgetting = pool.submit(marks.forget, 7)
        time.sleep(0.3)
        finish.set()
        inserting.result()
        assert forgetting.result().exposures == 1
    assert [row.user_id for row in _rows(postgres_log)] == [8]


def test_a_worker_says_that_it_takes_exposures_of_answers_to_nobody(worker: httpx.Client, plain: Redis) -> None:
    assert worker.get("/health").status_code == 200
    wait_until(lambda: plain.exists(redis_keys.TAKES_ANONYMOUS), within=60, what="it says so")
    assert 60 < plain.ttl(redis_keys.TAKES_ANONYMOUS) <= 70
