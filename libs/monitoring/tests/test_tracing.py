"""Traces are our own spans, sampled and filtered by settings; with tracing off there is nothing of them."""

import asyncio
import timeit
from typing import Any

import pytest
import sentry_relay

import monitoring
from monitoring import MonitoringSettings
from monitoring.tracing import sampler
from testkit.fake_server import FakeServer

PARENT = "0123456789abcdef0123456789abcdef-0123456789abcdef"


@pytest.fixture
def traced(settings: MonitoringSettings, fake_server: FakeServer) -> FakeServer:
    """Monitoring with every trace sampled."""
    monitoring.init("tested", settings.model_copy(update={"sentry_traces_sample_rate": 1.0}))
    return fake_server


def scope(path: str = "/similar/7", **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "GET", "path": path, "headers": pairs}


def spans_of(transaction: dict[str, Any]) -> dict[str, str | None]:
    """Return each span's operation, and that of its parent."""
    root = transaction["contexts"]["trace"]
    ops = {root["span_id"]: root["op"]} | {span["span_id"]: span["op"] for span in transaction["spans"]}
    return {span["op"]: ops.get(span["parent_span_id"]) for span in transaction["spans"]}


def test_a_request_is_one_transaction_with_a_span_for_each_stage(traced: FakeServer) -> None:
    with monitoring.bound_context(request_id="req_1"), monitoring.request_trace(scope()):
        monitoring.bind_context(endpoint="/similar", dataset_id=7)
        with monitoring.span("cache"):
            pass
        with monitoring.span("recall"), monitoring.span("inner", "a part of recall"):
            pass
        with monitoring.span("rank"):
            pass
    monitoring.flush(5)
    (transaction,) = traced.transactions
    assert transaction["transaction"] == "GET /similar"
    assert transaction["contexts"]["trace"]["op"] == "http.server"
    assert spans_of(transaction) == {
        "cache": "http.server",
        "recall": "http.server",
        "inner": "recall",
        "rank": "http.server",
    }
    assert transaction["tags"].items() >= {"service": "tested", "request_id": "req_1", "dataset_id": "7"}.items()
    assert (transaction["environment"], transaction["release"]) == ("test", "recsys@1.2.3")
    assert traced.events == []


def test_a_transaction_is_named_by_its_route(traced: FakeServer) -> None:
    class Route:
        path = "/models/{name}/active"

    handled = scope("/models/ranker/active")
    with monitoring.request_trace(handled):
        handled["route"] = Route()
    monitoring.flush(5)
    assert traced.transactions[0]["transaction"] == "GET /models/{name}/active"


def test_a_trace_goes_on_from_one_service_to_the_next(traced: FakeServer) -> None:
    with monitoring.transaction("pipeline", "run"):
        carried = monitoring.trace_headers()
    assert monitoring.trace_headers() == {}
    with monitoring.request_trace(scope(**{name.replace("-", "_"): value for name, value in carried.items()})):
        pass
    monitoring.flush(5)
    sender, receiver = (each["contexts"]["trace"] for each in traced.transactions)
    assert receiver["trace_id"] == sender["trace_id"]
    assert receiver["parent_span_id"] == sender["span_id"]


@pytest.mark.parametrize(("decision", "sent"), [("1", 1), ("0", 0)])
def test_a_trace_that_goes_on_is_sampled_as_it_began(
    settings: MonitoringSettings, fake_server: FakeServer, decision: str, sent: int
) -> None:
    rate = 0.0 if decision == "1" else 1.0
    monitoring.init("tested", settings.model_copy(update={"sentry_traces_sample_rate": rate}))
    with monitoring.request_trace(scope(sentry_trace=f"{PARENT}-{decision}")), monitoring.span("recall"):
        assert monitoring.trace_headers()["sentry-trace"].startswith(PARENT.partition("-")[0])
        assert monitoring.trace_headers()["sentry-trace"].endswith(f"-{decision}")
    monitoring.flush(5)
    assert len(fake_server.transactions) == sent


def test_ignored_paths_are_never_traced_and_all_else_at_the_rate() -> None:
    sample = sampler(0.25, ["/health"])

    def asked(name: str, parent: bool | None) -> float:
        return sample({"transaction_context": {"name": name}, "parent_sampled": parent})

    assert [asked("/health", None), asked("/health", True)] == [0, 0]
    assert [asked("/healthcare", None), asked("/similar/7", None)] == [0.25, 0.25]
    assert [asked("/similar/7", True), asked("/similar/7", False)] == [1, 0]


def test_the_ignored_paths_and_the_rate_come_from_settings(
    settings: MonitoringSettings, fake_server: FakeServer
) -> None:
    changes = {"sentry_traces_sample_rate": 1.0, "sentry_traces_ignored": "/quiet, /silent"}
    monitoring.init("tested", settings.model_copy(update=changes))
    for path in ("/quiet", "/silent", "/health"):
        with monitoring.request_trace(scope(path)):
            pass
    monitoring.flush(5)
    assert [each["transaction"] for each in fake_server.transactions] == ["GET /health"]


def test_an_event_says_in_which_trace_it_happened(traced: FakeServer) -> None:
    with monitoring.transaction("step", "train"):
        monitoring.report("pipeline.database", error=ValueError(), operation="read", database="b")
    monitoring.report("pipeline.database", error=ValueError(), operation="write", database="b")
    monitoring.flush(5)
    within, without = traced.events
    (transaction,) = traced.transactions
    assert within["contexts"]["trace"]["trace_id"] == transaction["contexts"]["trace"]["trace_id"]
    assert "trace" not in without["contexts"]


def test_tasks_of_one_request_do_not_take_each_others_spans_for_parents(traced: FakeServer) -> None:
    async def stage(op: str) -> None:
        with monitoring.span(op):
            await asyncio.sleep(0.01)

    async def both() -> None:
        with monitoring.request_trace(scope()):
            await asyncio.gather(stage("recall"), stage("cache"))

    asyncio.run(both())
    monitoring.flush(5)
    assert spans_of(traced.transactions[0]) == {"recall": "http.server", "cache": "http.server"}


def test_a_failing_block_is_marked_and_its_error_goes_on(traced: FakeServer) -> None:
    with pytest.raises(ZeroDivisionError), monitoring.transaction("step", "train"):
        raise ZeroDivisionError
    monitoring.flush(5)
    assert traced.transactions[0]["contexts"]["trace"]["status"] == "internal_error"


def test_no_secret_is_in_a_transaction(settings: MonitoringSettings, fake_server: FakeServer) -> None:
    changed = settings.model_copy(update={"sentry_traces_sample_rate": 1.0})
    monitoring.init("tested", changed, secrets=["configured-canary"])
    with (
        monitoring.bound_context(request_id="configured-canary"),
        monitoring.transaction("step", "x?token=pattern-canary"),
        monitoring.span("cache", "redis://:pattern-canary@h AUTH configured-canary"),
    ):
        pass
    monitoring.flush(5)
    assert len(fake_server.transactions) == 1
    assert b"canary" not in b"".join(fake_server.bodies)


def test_sentrys_own_validation_finds_no_error_in_a_transaction(traced: FakeServer) -> None:
    normalizer = sentry_relay.StoreNormalizer(project_id=1, key_id="1")
    with monitoring.bound_context(request_id="req_1"), monitoring.request_trace(scope()), monitoring.span("recall"):
        pass
    monitoring.flush(5)
    normalized = normalizer.normalize_event(traced.transactions[0])
    assert "_meta" not in normalized or "err" not in str(normalized["_meta"])


def test_with_tracing_off_nothing_is_made_sent_or_carried(on: FakeServer) -> None:
    with (
        monitoring.request_trace(scope(sentry_trace=f"{PARENT}-1")),
        monitoring.transaction("step", "train"),
        monitoring.span("recall"),
    ):
        assert monitoring.trace_headers() == {}
        monitoring.report("pipeline.database", error=ValueError(), operation="read", database="b")
    monitoring.flush(5)
    assert on.transactions == []
    assert "trace" not in on.events[0]["contexts"]


def test_with_tracing_off_a_span_costs_less_than_a_microsecond(on: FakeServer) -> None:
    def request() -> None:
        with monitoring.span("recall"):
            pass

    # Measured: 0.2 µs. The bound is for a busy machine.
    assert min(timeit.repeat(request, number=2000, repeat=5)) / 2000 < 1e-6
