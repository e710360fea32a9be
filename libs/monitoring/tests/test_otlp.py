"""With an OTLP endpoint, requests and steps are spans there; without one, nothing of OpenTelemetry is imported."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

import monitoring
from localservers.ports import Ports
from monitoring import MonitoringSettings
from testkit.fake_server import FakeServer
from testkit.otlp_receiver import OtlpReceiver

TRACE, PARENT = "0123456789abcdef0123456789abcdef", "0123456789abcdef"
# The bit of the flags in `traceparent`.
SAMPLED = 1
REQUEST = "GET /recommend/user/{user_id}"


class Route:
    path_format = "/recommend/user/{user_id}"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running
        monitoring.shutdown()


def start(receiver: OtlpReceiver, **changes: Any) -> None:
    settings = MonitoringSettings(
        sentry_environment="test",
        sentry_release="recsys@1.2.3",
        otel_exporter_otlp_endpoint=receiver.url,
        **changes,
    )
    monitoring.init("tested", settings, secrets=["configured-canary"])


def handle(path: str = "/recommend/user/7", *, status: int = 200, **headers: str) -> dict[str, str]:
    """Handle a request of user 7 with one stage; return the headers that would go on from it."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "headers": pairs}
    with monitoring.bound_request(scope, "req_1"), monitoring.request_trace(scope):
        scope["route"] = Route()
        monitoring.bind_context(user_id=7, model_version="12")
        with monitoring.span("recall"):
            carried = monitoring.trace_headers()
        monitoring.request_ended(status, 0.01)
    return carried


def test_a_request_is_a_span_named_by_its_route_with_its_id_and_without_the_user(receiver: OtlpReceiver) -> None:
    start(receiver)
    handle()
    monitoring.flush(5)
    request, stage = receiver.wait_for("tested", REQUEST), receiver.wait_for("tested", "recall")
    assert (request.kind, request.parent, request.failed) == ("server", "", False)
    assert dict(request.attributes) == {
        "http.request.method": "GET",
        "http.route": "/recommend/user/{user_id}",
        "http.response.status_code": 200,
        "request_id": "req_1",
        "model_version": "12",
    }
    assert (stage.trace, stage.parent) == (request.trace, request.id)
    assert (
        request.resource.items()
        >= {
            "service.name": "tested",
            "service.version": "recsys@1.2.3",
            "deployment.environment.name": "test",
        }.items()
    )
    assert b"user/7" not in b"".join(receiver.bodies)


def test_a_trace_comes_in_and_goes_on_by_the_header_traceparent(receiver: OtlpReceiver) -> None:
    start(receiver)
    carried = handle(traceparent=f"00-{TRACE}-{PARENT}-01")
    monitoring.flush(5)
    request, stage = receiver.wait_for("tested", REQUEST), receiver.wait_for("tested", "recall")
    assert (request.trace, request.parent) == (TRACE, PARENT)
    assert carried == {"traceparent": f"00-{TRACE}-{stage.id}-01"}
    assert monitoring.trace_headers() == {}


@pytest.mark.parametrize("header", ["", "00-zz-1-01", f"00-{'0' * 32}-{PARENT}-01"])
def test_an_unreadable_traceparent_begins_a_new_trace(receiver: OtlpReceiver, header: str) -> None:
    start(receiver)
    handle(traceparent=header)
    monitoring.flush(5)
    request = receiver.wait_for("tested", REQUEST)
    assert request.parent == ""
    assert int(request.trace, 16)


def test_the_share_decides_for_traces_that_begin_here_and_the_sender_for_others(receiver: OtlpReceiver) -> None:
    start(receiver, otel_traces_sampler_arg=0.0)
    flags = handle()["traceparent"].rpartition("-")[2]
    assert int(flags, 16) & SAMPLED == 0
    handle(traceparent=f"00-{TRACE}-{PARENT}-00")
    handle("/health", traceparent=f"00-{TRACE}-{PARENT}-01")
    handle(traceparent=f"00-{TRACE}-{PARENT}-01")
    monitoring.flush(5)
    receiver.wait_for("tested", REQUEST)
    assert [span.name for span in receiver.spans] == ["recall", REQUEST]


def test_failed_requests_and_steps_are_marked_by_the_type_of_the_error_only(receiver: OtlpReceiver) -> None:
    start(receiver)
    handle(status=503)
    with (
        pytest.raises(ZeroDivisionError),
        monitoring.bound_context(run_id="20260101T000000"),
        monitoring.transaction("pipeline", "run"),
        monitoring.transaction("step", "train"),
    ):
        raise ZeroDivisionError("of user 7")
    monitoring.flush(5)
    assert receiver.wait_for("tested", REQUEST).failed
    run, step = receiver.wait_for("tested", "pipeline run"), receiver.wait_for("tested", "step train")
    assert (step.trace, step.parent) == (run.trace, run.id)
    assert step.failed
    assert step.attributes == {"error.type": "ZeroDivisionError"}
    assert run.attributes == {"error.type": "ZeroDivisionError", "run_id": "20260101T000000"}
    assert b"of user" not in b"".join(receiver.bodies)


def test_no_secret_is_in_a_span_and_the_receivers_own_headers_are_sent(receiver: OtlpReceiver) -> None:
    start(receiver, otel_exporter_otlp_headers=SecretStr("Authorization=Bearer%20of-the-receiver,x-scope-orgid=7"))
    with (
        monitoring.bound_context(request_id="configured-canary"),
        monitoring.transaction("step", "x?token=pattern-canary"),
        monitoring.span("cache", "redis://:pattern-canary@h AUTH configured-canary"),
    ):
        assert "of-the-receiver" not in monitoring.redacted("Authorization=Bearer%20of-the-receiver,x-scope-orgid=7")
    monitoring.flush(5)
    receiver.wait_for("tested", "cache")
    assert b"canary" not in b"".join(receiver.bodies)
    assert receiver.headers[0].items() >= {"authorization": "Bearer of-the-receiver", "x-scope-orgid": "7"}.items()


def test_an_event_names_the_trace_and_both_destinations_work_together(
    receiver: OtlpReceiver, fake_server: FakeServer
) -> None:
    start(receiver, sentry_dsn=SecretStr(fake_server.dsn))
    with monitoring.transaction("step", "train"):
        monitoring.report("pipeline.database", error=ValueError(), operation="read", database="b")
    start(receiver, sentry_dsn=SecretStr(fake_server.dsn), sentry_traces_sample_rate=1.0)
    carried = handle()
    monitoring.flush(5)
    assert carried.keys() >= {"traceparent", "sentry-trace"}
    exported = receiver.wait_for("tested", "step train")
    assert fake_server.events[0]["contexts"]["trace"] == {"trace_id": exported.trace, "span_id": exported.id}
    assert [each["transaction"] for each in fake_server.transactions] == [REQUEST]
    assert receiver.wait_for("tested", REQUEST)


def test_a_receiver_that_is_down_delays_neither_requests_nor_the_end() -> None:
    settings = MonitoringSettings(otel_exporter_otlp_endpoint=f"http://127.0.0.1:{Ports.free().api}")
    monitoring.init("tested", settings)
    handle()
    # Returns: without a bound it would retry for as long as the exporter's timeout, per batch.
    monitoring.flush(0.1)
    monitoring.shutdown()


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    program = """
import sys
import monitoring
monitoring.init("tested", monitoring.MonitoringSettings())
scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"traceparent", b"00-%s-%s-01")]}
with monitoring.request_trace(scope), monitoring.transaction("step", "train"), monitoring.span("recall"):
    assert monitoring.trace_headers() == {}
monitoring.shutdown()
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("opentelemetry", "google", "requests")))
"""
    program = program.replace("%s-%s", f"{TRACE}-{PARENT}")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("name", ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT"])
@pytest.mark.parametrize("value", ["many", "-1"])
def test_a_limit_of_opentelemetry_that_is_not_a_number_is_an_error_of_the_settings_that_names_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=f"{name} must be a non-negative integer but got {value}"):
        MonitoringSettings(otel_exporter_otlp_endpoint="http://127.0.0.1:4318")
    # Nothing reads it then.
    assert MonitoringSettings().otel_exporter_otlp_endpoint is None
