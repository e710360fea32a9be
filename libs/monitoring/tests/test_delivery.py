"""Events reach the collector and signals the gateway, each independently of the other."""

import json
import logging
import time
from collections.abc import Sequence

import pytest
import sentry_sdk

import monitoring
from contracts.signals import AlertSignal, RejectedSignal, SignalReceipt
from monitoring import MonitoringSettings
from monitoring.outbox.outcomes import Delivered, Unavailable
from monitoring.process import counters
from monitoring.signals import GatewaySink, LocalSink
from monitoring.testing import captured
from testkit.fake_server import FakeServer


def report(operation: str = "read") -> str | None:
    return monitoring.report("pipeline.database", error=ValueError("no"), operation=operation, database="business")


def test_an_event_says_what_where_and_why(on: FakeServer) -> None:
    def divide(numerator: int) -> float:
        return numerator / 0

    with monitoring.bound_context(request_id="req_1", user_id=7):
        monitoring.breadcrumb("query started", category="sql")
        try:
            divide(41)
        except ZeroDivisionError as error:
            event_id = monitoring.report(
                "pipeline.database", error=error, operation="read", database="business", rows=3
            )
    monitoring.flush(5)
    (event,) = on.events
    assert event["event_id"] == event_id
    assert event["level"] == "error"
    assert event["fingerprint"] == ["database", "business", "read", "ZeroDivisionError"]
    assert event["tags"] == {
        "service": "tested", "monitoring_point": "pipeline.database", "request_id": "req_1", "user_id": "7",
        "operation": "read", "database": "business",
    }  # fmt: skip
    assert event["contexts"]["pipeline"]["rows"] == 3
    assert event["contexts"]["pipeline"]["occurrences"] == 1
    assert (event["environment"], event["release"]) == ("test", "recsys@1.2.3")
    assert event["transaction"] == "pipeline.database"
    assert event["logentry"]["formatted"].startswith("pipeline.database [business / read]: ZeroDivisionError: ")
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["query started"]
    (raised,) = event["exception"]["values"]
    assert raised["type"] == "ZeroDivisionError"
    assert raised["stacktrace"]["frames"][-1]["function"] == "divide"
    assert raised["stacktrace"]["frames"][-1]["vars"] == {"numerator": "41"}


def test_a_signal_is_what_the_contract_says(on: FakeServer) -> None:
    with monitoring.bound_context(request_id="req_1"):
        event_id = report()
    monitoring.flush(5)
    (signal,) = map(AlertSignal.model_validate, on.signals)
    assert on.authorizations == ["Bearer gateway-token-canary"]
    assert signal.model_dump(exclude={"signal_id", "first_seen", "last_seen"}) == {
        "event_id": event_id,
        "kind": "fired",
        "monitoring_point": "pipeline.database",
        "fingerprint": ["database", "business", "read", "ValueError"],
        "level": "error",
        "category": "database",
        "service": "tested",
        "environment": "test",
        "message": "pipeline.database [business / read]: ValueError: no",
        "occurrences": 1,
        "request_ids": ["req_1"],
        "tags": on.events[0]["tags"],
    }
    assert abs(signal.first_seen.timestamp() - time.time()) < 60


def test_repeats_are_one_event_and_one_signal_that_count_only_themselves(on: FakeServer) -> None:
    for number in range(12):
        with monitoring.bound_context(request_id=f"req_{number}"):
            sent = monitoring.report("redis.connection_failed", error=ConnectionError("refused"), redis_host="h")
        assert (sent is None) == (number > 0)
    monitoring.flush(5)
    first, repeats = on.events
    assert first["contexts"]["redis"]["occurrences"] == 1
    assert repeats["contexts"]["redis"]["occurrences"] == 11
    assert repeats["contexts"]["redis"]["request_ids"] == [f"req_{number}" for number in range(1, 11)]
    assert repeats["tags"] == first["tags"] | {"request_id": "req_11"}
    assert repeats["tags"]["error_type"] == "ConnectionError"
    assert repeats["fingerprint"] == first["fingerprint"]
    assert [signal["occurrences"] for signal in on.signals] == [1, 11]
    assert on.signals[1]["request_ids"] == [f"req_{number}" for number in range(1, 11)]
    assert counters()["reports"] == 12
    assert counters()["reports_coalesced"] == 11


def test_a_sum_of_occurrences_has_an_id_of_its_own(on: FakeServer) -> None:
    for name in ("run-1", "run-2", "run-3"):
        monitoring.report("airflow.task_failed", error=ValueError(), dag_id="d", task_id="t", occurrence=name)
    monitoring.flush(5)
    first, summed = (event["event_id"] for event in on.events)
    with captured() as alone:
        for name in ("run-1", "run-2", "run-3"):
            monitoring.report("airflow.task_failed", dag_id="d", task_id="t", occurrence=name)
    ids = [report.event_id for report in alone]
    assert first == ids[0]
    assert summed not in ids


def test_the_same_fingerprint_at_another_level_is_not_a_repeat(on: FakeServer) -> None:
    """A critical failure must not vanish in the window of a harmless one."""
    monitoring.report("pipeline.step_failed", error=ValueError(), step_name="train")
    monitoring.report("pipeline.critical_step_failed", error=ValueError(), step_name="train")
    monitoring.flush(5)
    assert sorted(event["level"] for event in on.events) == ["error", "warning"]


def test_a_recovery_ends_the_incident_and_the_next_fault_goes_at_once(on: FakeServer) -> None:
    report()
    report()
    monitoring.recovered("pipeline.database", database="business", operation="read")
    report()
    monitoring.flush(5)
    assert [(signal["kind"], signal["occurrences"]) for signal in on.signals] == [
        ("fired", 1), ("fired", 1), ("recovered", 1), ("fired", 1),
    ]  # fmt: skip
    assert len(on.events) == 3
    assert on.signals[2]["fingerprint"] == ["database", "business", "read", "*"]
    assert on.signals[2]["message"] == "pipeline.database: recovered"


def test_a_recovery_does_not_overtake_the_warning_that_it_ends(on: FakeServer) -> None:
    for _ in range(10):
        monitoring.report("redis.connection_failed", error=ConnectionError())
        monitoring.recovered("redis.connection_failed")
    monitoring.flush(5)
    assert [signal["kind"] for signal in on.signals] == ["fired", "recovered"] * 10


def test_a_recovery_reaches_every_incident_that_its_fields_match_also_those_of_other_processes(on: FakeServer) -> None:
    for operation in ("read", "write"):
        report(operation)
    monitoring.recovered("pipeline.database", database="business")
    monitoring.recovered("pipeline.database", database="other")
    monitoring.flush(5)
    ended = [signal["fingerprint"] for signal in on.signals if signal["kind"] == "recovered"]
    assert ended == [["database", "business", "*", "*"], ["database", "other", "*", "*"]]


@pytest.mark.parametrize("mode", ["down", "hang", "429", "500", "garbage", "page"])
def test_alerts_go_out_while_the_collector_is_broken(on: FakeServer, until, mode: str) -> None:
    on.mode = mode
    started = time.perf_counter()
    report()
    assert time.perf_counter() - started < 0.5
    until(lambda: len(on.signals) == 1)
    assert on.events == []


@pytest.mark.parametrize("mode", ["down", "hang", "429", "500", "garbage", "page"])
def test_events_are_collected_while_the_gateway_is_broken(on: FakeServer, until, mode: str) -> None:
    on.gateway_mode = mode
    report()
    until(lambda: len(on.events) == 1)
    assert on.signals == []


@pytest.mark.parametrize("mode", ["down", "429", "500", "502", "403", "garbage", "page"])
def test_what_was_not_taken_is_sent_again_with_its_id_and_the_time_of_sending(on: FakeServer, until, mode: str) -> None:
    on.mode = mode
    on.gateway_mode = mode
    ids = [report(str(number)) for number in range(20)]
    until(lambda: counters()["events_spooled"] and counters()["signals_spooled"])
    assert on.events == []
    mended = time.time()
    on.mode = on.gateway_mode = "ok"
    until(lambda: len(on.events) == len(on.signals) == 20)
    assert [event["event_id"] for event in on.events] == ids
    assert [signal["event_id"] for signal in on.signals] == ids
    assert all(header["sent_at"] >= _iso(mended) for header in on.envelope_headers)
    assert all(event["timestamp"] < _iso(mended) for event in on.events)
    until(lambda: counters()["events_delivered"] == 20)
    assert counters()["events_resent"] >= 1
    assert counters()["events_dropped"] == 0


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"


@pytest.mark.parametrize("as_a_batch", [False, True])
def test_a_signal_that_the_gateway_rejects_is_counted_logged_and_holds_up_no_other(
    on: FakeServer, until, caplog: pytest.LogCaptureFixture, as_a_batch: bool
) -> None:
    """Also by a gateway of an older release, which rejects the whole batch."""
    on.refused_parts, on.refuses_batches = frozenset({"3", "7"}), as_a_batch
    on.gateway_mode = "503"
    for number in range(10):
        report(str(number))
    until(lambda: counters()["signals_spooled"])
    on.gateway_mode = "ok"
    until(lambda: counters()["signals_rejected"] == 2)
    until(lambda: len(on.signals) == 8)
    requests = on.requests
    monitoring.flush(5)
    assert on.requests == requests
    assert caplog.text.count("of the signals was rejected for good: ") == 2


def test_a_spooled_signal_that_is_none_does_not_block_the_others_of_the_gateways_own() -> None:
    taken: list[AlertSignal] = []

    def take(signals: Sequence[AlertSignal]) -> SignalReceipt:
        taken.extend(signals)
        rejected = [RejectedSignal(signal_id=each.signal_id, reason="no") for each in signals if each.message == "no"]
        return SignalReceipt(accepted=len(signals) - len(rejected), duplicates=0, rejected=rejected)

    whole = {
        "signal_id": "1",
        "kind": "fired",
        "monitoring_point": "api.unhandled",
        "fingerprint": ["api"],
        "level": "error",
        "category": "api",
        "service": "tested",
        "environment": "test",
        "message": "yes",
        "first_seen": "2026-01-01T00:00:00Z",
        "last_seen": "2026-01-01T00:00:00Z",
    }
    payloads = [whole, whole | {"signal_id": "2", "level": "loud"}, whole | {"signal_id": "3", "message": "no"}]
    outcome = LocalSink(take).deliver([*(json.dumps(each).encode() for each in payloads), b'{"signal_', b"[" * 10_000])
    assert isinstance(outcome, Delivered)
    assert outcome.rejected.keys() == {1, 2, 3, 4}
    assert outcome.rejected[1].startswith("level: ")
    assert [each.signal_id for each in taken] == ["1", "3"]


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("²", None), ("9" * 5000, None), ("-1", None)])
def test_a_retry_after_that_is_no_number_of_seconds_is_ignored(
    on: FakeServer, header: str, seconds: float | None
) -> None:
    on.gateway_mode = "503"
    on.headers = {"Retry-After": header}
    outcome = GatewaySink(on.url, None).deliver([b"{}"])
    assert outcome == Unavailable("HTTP 503", seconds)


def test_what_the_collector_refuses_for_good_does_not_block_the_rest(on: FakeServer, until) -> None:
    on.mode = "400"
    report("rejected")
    until(lambda: counters()["events_rejected"] == 1)
    on.mode = "ok"
    report("taken")
    until(lambda: len(on.events) == 1)
    assert on.events[0]["tags"]["operation"] == "taken"


def test_retry_after_is_honoured(on: FakeServer, until) -> None:
    on.headers = {"Retry-After": "2"}
    on.mode = "429"
    report()
    until(lambda: on.requests >= 2)
    asked = time.monotonic()
    on.mode = "ok"
    until(lambda: on.events)
    assert time.monotonic() - asked > 1.5


def test_without_a_dsn_alerts_go_out(fake_server: FakeServer) -> None:
    monitoring.init("tested", MonitoringSettings(gateway_url=fake_server.url, gateway_token="t"))
    assert report() is None
    monitoring.flush(5)
    assert fake_server.events == []
    assert fake_server.signals[0]["event_id"] is None


def test_without_a_gateway_events_are_collected(fake_server: FakeServer) -> None:
    monitoring.init("tested", MonitoringSettings(sentry_dsn=fake_server.dsn))
    assert report() is not None
    monitoring.flush(5)
    assert len(fake_server.events) == 1
    assert fake_server.signals == []


def test_the_gateway_takes_its_own_signals_without_http_and_again_after_a_failure(
    fake_server: FakeServer, until
) -> None:
    taken: list[str] = []
    failures = iter([RuntimeError("database is locked")])

    def sink(signals) -> None:
        for failure in failures:
            raise failure
        taken.extend(signal.monitoring_point for signal in signals)

    monitoring.init("gateway", MonitoringSettings(sentry_dsn=fake_server.dsn), signal_sink=sink)
    monitoring.report("weixin.send_message_failed", errcode=81013)
    until(lambda: taken == ["weixin.send_message_failed"])


def test_exceptions_that_are_logged_make_no_events_of_their_own(on: FakeServer) -> None:
    try:
        int("x")
    except ValueError as error:
        logging.getLogger("service").exception("it broke")
        monitoring.report("api.unhandled", error=error, endpoint="/similar")
    monitoring.flush(5)
    assert [event["tags"]["monitoring_point"] for event in on.events] == ["api.unhandled"]


def test_other_events_of_the_sdk_carry_the_service_and_are_redacted(
    settings: MonitoringSettings, fake_server: FakeServer
) -> None:
    monitoring.init("tested", settings, secrets=["configured-canary"])
    sentry_sdk.capture_message("made elsewhere with configured-canary")
    monitoring.flush(5)
    (event,) = fake_server.events
    assert event["tags"] == {"service": "tested"}
    assert b"configured-canary" not in b"".join(fake_server.bodies)


def test_an_event_too_large_for_a_collector_loses_its_local_variables_only(on: FakeServer) -> None:
    def fail(depth: int) -> None:
        large = ["x" * 4000] * 10
        if depth and large:
            fail(depth - 1)
        raise ValueError("deep")

    try:
        fail(60)
    except ValueError as error:
        monitoring.report("pipeline.database", error=error, operation="read", database="business")
    monitoring.flush(5)
    (event,) = on.events
    frames = event["exception"]["values"][0]["stacktrace"]["frames"]
    assert len(on.bodies[-1]) < 1_000_000
    assert len(frames) > 60
    assert all("vars" not in frame and frame["context_line"] for frame in frames)


def test_tracing_does_not_stand_in_the_way_of_events(settings: MonitoringSettings, fake_server: FakeServer) -> None:
    monitoring.init("tested", settings.model_copy(update={"sentry_traces_sample_rate": 1.0}))
    assert sentry_sdk.get_client().options["enable_backpressure_handling"] is False
    assert sentry_sdk.get_client().integrations == {}
    report()
    monitoring.flush(5)
    assert len(fake_server.events) == 1


def test_one_occurrence_reported_by_two_processes_is_one_event_and_one_signal(
    on: FakeServer, settings: MonitoringSettings
) -> None:
    def seen(occurrence: str) -> str | None:
        return monitoring.report(
            "airflow.task_failed", occurrence=occurrence, dag_id="a", task_id="b", run_id="c", try_number=1
        )

    first = seen("task-1")
    assert seen("task-1") is None  # in the same process: neither sent again nor counted
    monitoring.init("another process", settings)
    assert seen("task-1") == first
    monitoring.init("a third process", settings)
    assert seen("task-2") != first
    monitoring.shutdown()
    assert [event["event_id"] for event in on.events[:2]] == [first, first]
    assert len({event["event_id"] for event in on.events}) == 2
    assert len({signal["signal_id"] for signal in on.signals}) == 2
    assert all(event["contexts"]["airflow"]["occurrences"] == 1 for event in on.events)
