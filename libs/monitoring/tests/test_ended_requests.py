"""Degraded and failed requests reach the gateway's index, as far as they fit; the access log has a sample of all."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import monitoring
from contracts.request_records import RequestBatch, RequestRecord, read_record
from monitoring import MonitoringSettings
from monitoring.ended_requests.access_log import MAX_LINES_PER_SECOND
from monitoring.ended_requests.gateway_index import GatewayIndex
from monitoring.ended_requests.recorder import (
    MAX_PER_WINDOW,
    MAX_WAITING,
    NO_INDEX_SECONDS,
    WINDOW_SECONDS,
    RequestRecorder,
)
from monitoring.metrics import Counters
from testkit.fake_server import FakeServer


class Route(NamedTuple):
    path: str


PROBE: dict[str, Any] = {"type": "http", "method": "GET", "path": "/ready", "headers": [], "route": Route("/ready")}


class Bench:
    """A recorder whose clock the test moves; `start` is not called, so batches go by `flush` alone."""

    def __init__(self, server: FakeServer) -> None:
        self.now = 0.0
        self.counters = Counters()
        index = GatewayIndex(server.url, "token", "tested", "test")
        self.recorder = RequestRecorder(index, self.counters, share=0.0, clock=lambda: self.now)

    def fail(self, count: int, prefix: str = "r") -> None:
        for number in range(count):
            with monitoring.bound_context(request_id=f"{prefix}{number}"):
                self.recorder.note(503, 0.001)


@pytest.fixture
def bench(fake_server: FakeServer) -> Bench:
    return Bench(fake_server)


def recorded(server: FakeServer) -> list[dict[str, Any]]:
    return [each for batch in server.request_batches for each in batch["requests"]]


def test_a_degraded_request_is_recorded_with_what_it_reported_and_without_its_user(on: FakeServer) -> None:
    with monitoring.bound_context(request_id="req_1", user_id=7, dataset_id=8, model_version="12", endpoint="/similar"):
        with monitoring.bound_context(degrade_reason="redis_unavailable"):
            monitoring.report("redis.connection_failed", error=ConnectionError("no"))
            monitoring.report("redis.connection_failed", error=ConnectionError("no"))
        monitoring.note_outcome(level=2, reason="redis_unavailable", items=10)
        monitoring.request_ended(200, 0.0125)
    monitoring.flush(5)
    (batch,) = on.request_batches
    (found,) = RequestBatch.model_validate(batch).requests
    record = read_record(found)
    assert isinstance(record, RequestRecord)
    signal = on.signals[0]
    assert [each.model_dump() for each in record.points] == [
        {"monitoring_point": "redis.connection_failed", "fingerprint": signal["fingerprint"]}
    ]
    assert record.model_dump(mode="json", exclude={"at", "points"}) == {
        "request_id": "req_1", "service": "tested", "environment": "test", "endpoint": "/similar", "status": 200,
        "level": 2, "reason": "redis_unavailable", "model_version": "12", "duration_ms": 12.5, "items": 10,
    }  # fmt: skip
    assert found.keys() == RequestRecord.model_fields.keys()


def test_only_degraded_and_failed_requests_are_recorded(on: FakeServer) -> None:
    for status in (200, 404, 422, 500, 503):
        with monitoring.bound_context(request_id=f"r{status}"):
            monitoring.request_ended(status, 0.001)
    monitoring.request_ended(500, 0.001)
    with monitoring.bound_request(PROBE, "probe"):
        monitoring.request_ended(503, 0.001)
    monitoring.flush(5)
    assert [(each["request_id"], each["status"]) for each in recorded(on)] == [
        ("r500", 500),
        ("r503", 503),
        ("None", 500),
    ]


def test_past_the_bound_of_a_window_requests_are_counted_and_the_gateway_is_told(
    bench: Bench, fake_server: FakeServer
) -> None:
    bench.fail(MAX_PER_WINDOW)
    bench.recorder.flush(5)
    bench.fail(3)
    bench.recorder.flush(5)
    assert len(recorded(fake_server)) == MAX_PER_WINDOW
    assert sum(batch["left_out"] for batch in fake_server.request_batches) == bench.counters.requests_left_out == 3
    bench.now += WINDOW_SECONDS
    bench.fail(1, "later")
    bench.recorder.flush(5)
    assert recorded(fake_server)[-1]["request_id"] == "later0"
    assert fake_server.request_batches[-1]["left_out"] == 0


def test_requests_wait_for_a_gateway_that_fails_and_the_newest_are_left_out_past_the_bound(
    bench: Bench, fake_server: FakeServer
) -> None:
    fake_server.index_status = 503
    bench.fail(MAX_PER_WINDOW)
    bench.now += WINDOW_SECONDS
    bench.fail(5, "more")
    bench.recorder.flush(5)
    assert bench.counters.requests_left_out == MAX_PER_WINDOW + 5 - MAX_WAITING
    fake_server.index_status = 202
    bench.recorder.flush(5)
    assert [each["request_id"] for each in recorded(fake_server)] == [f"r{number}" for number in range(MAX_WAITING)]


def test_a_gateway_without_an_index_is_not_asked_again_for_a_while(
    fake_server: FakeServer, until: Callable[..., None]
) -> None:
    fake_server.index_status = 404
    bench = Bench(fake_server)
    bench.recorder.start()
    bench.fail(2)
    until(lambda: bench.counters.requests_left_out == 2)
    fake_server.index_status = 202
    bench.fail(1, "soon")
    # The thread has seen it once its line is due, a second later.
    until(lambda: not bench.recorder._lines)
    assert not fake_server.request_batches
    bench.now += NO_INDEX_SECONDS
    until(lambda: [each["request_id"] for each in recorded(fake_server)] == ["soon0"])
    bench.recorder.close(1)


def test_the_access_log_has_all_failures_a_share_of_the_rest_and_at_most_so_many_lines(
    fake_server: FakeServer, settings: MonitoringSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "monitoring.requests")
    monitoring.init("tested", settings.model_copy(update={"access_log_share": 0.0}))
    with monitoring.bound_context(request_id="healthy"):
        monitoring.request_ended(200, 0.001)
    for number in range(MAX_LINES_PER_SECOND + 7):
        with monitoring.bound_context(request_id=f"r{number}"):
            monitoring.request_ended(500, 0.001)
    monitoring.flush(5)
    *lines, last = [record for record in caplog.records if record.name == "monitoring.requests"]
    assert [vars(line)["request_id"] for line in lines] == [f"r{number}" for number in range(MAX_LINES_PER_SECOND)]
    assert last.getMessage().startswith("7 more requests have no line")
    assert len(recorded(fake_server)) == MAX_LINES_PER_SECOND + 7
    caplog.clear()
    monitoring.init("tested", settings.model_copy(update={"access_log_share": 1.0}))
    with monitoring.bound_context(request_id="healthy"):
        monitoring.request_ended(200, 0.001)
    monitoring.flush(5)
    assert [vars(record)["request_id"] for record in caplog.records if record.name == "monitoring.requests"] == [
        "healthy"
    ]
