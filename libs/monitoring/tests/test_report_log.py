"""Every report is a log line, as seldom as it is an event, with a collector or without one."""

import json
import logging
from collections.abc import Iterator

import pytest

import monitoring
from monitoring import MonitoringSettings
from servicekit.logs import JsonFormatter
from testkit.fake_server import FakeServer


@pytest.fixture
def alone() -> Iterator[None]:
    """Monitoring with neither collector nor gateway."""
    monitoring.init("tested", MonitoringSettings(sentry_environment="test"), secrets=["s3cret-value"])
    yield
    monitoring.shutdown()


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "monitoring.reports"]


def raise_error(text: str) -> None:
    raise ValueError(text)


def fail(text: str) -> None:
    try:
        raise_error(text)
    except ValueError as error:
        monitoring.report("api.unhandled", error=error, endpoint="/similar", method="GET")


@pytest.mark.usefixtures("alone")
def test_seven_500s_without_a_collector_are_a_line_at_once_and_one_with_the_count_of_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number in range(7):
        with monitoring.bound_context(request_id=f"req_{number}"):
            fail("of all things")
    (first,) = lines(caplog)
    assert (first.levelname, first.getMessage()) == (
        "ERROR",
        "api.unhandled [/similar]: ValueError: of all things",
    )
    assert vars(first)["point"] == "api.unhandled"
    assert vars(first)["request_id"] == "req_0"
    monitoring.flush()
    _, summary = lines(caplog)
    assert "(6 more times)" in summary.getMessage()
    assert vars(summary)["occurrences"] == 6
    assert vars(summary)["request_ids"] == [f"req_{number}" for number in range(1, 7)]


@pytest.mark.usefixtures("alone")
def test_the_first_error_has_its_stack_and_no_secret_in_it(caplog: pytest.LogCaptureFixture) -> None:
    fail("a line with s3cret-value")
    fail("a line with s3cret-value")
    monitoring.flush()
    first, summary = lines(caplog)
    assert first.exc_text is not None
    assert "test_report_log.py" in first.exc_text
    assert "s3cret-value" not in first.exc_text + first.getMessage()
    assert summary.exc_text is None


@pytest.mark.usefixtures("alone")
def test_a_fault_that_was_foreseen_is_said_without_a_stack(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise_error("no such host")
    except ValueError as error:
        monitoring.report("api.startup_failed", error=error)
    assert [line.exc_text for line in lines(caplog)] == [None]


def test_with_a_collector_it_is_the_same(on: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    fail("here too")
    monitoring.flush()
    assert len(on.events) == len(lines(caplog)) == 1


@pytest.mark.usefixtures("alone")
def test_a_line_has_the_level_of_its_point(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for point in ("fallback.redis_failed", "fallback.precomputed_used"):
        monitoring.report(point)
    assert [line.levelname for line in lines(caplog)] == ["WARNING", "INFO"]


@pytest.mark.usefixtures("alone")
def test_a_service_writes_it_as_one_json_line(caplog: pytest.LogCaptureFixture) -> None:
    with monitoring.bound_context(request_id="req_1"):
        fail("half a surrogate \ud83d")
        (record,) = lines(caplog)
        line = json.loads(JsonFormatter("tested").format(record))
    assert (line["level"], line["point"], line["request_id"]) == ("error", "api.unhandled", "req_1")
    assert line["exception"].startswith("Traceback (most recent call last)")


def test_a_handler_that_fails_takes_no_report_with_it(on: FakeServer) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("the disk is full")

    broken = Broken()
    logger = logging.getLogger("monitoring.reports")
    logger.addHandler(broken)
    try:
        monitoring.report("fallback.redis_failed")
        monitoring.flush()
    finally:
        logger.removeHandler(broken)
    assert len(on.events) == len(on.signals) == 1
