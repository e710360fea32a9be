"""The outline of an error can be acted on, is redacted and valid: it may be all that a killed process leaves."""

import json
import time

import pytest
import sentry_relay
import sentry_sdk

import monitoring
from monitoring import catalogue
from monitoring.before_send import BeforeSend
from monitoring.collector import CollectorPath, CollectorTransport, Sdk
from monitoring.context import Breadcrumb
from monitoring.events import Origin, envelope_of, outline_of
from monitoring.metrics import Counters
from monitoring.outbox.outbox import Outbox
from monitoring.redaction import Redactor
from monitoring.reports import Observation, OccurrenceWindow, compose
from monitoring.store import MemoryStore
from testkit.fake_server import FakeServer

SECRETS = ["crumb-canary", "data-canary", "tag-canary", "context-canary", "cause-canary", "error-canary", "part-canary"]


def inner() -> None:
    raise ValueError("cause-canary")


def outer() -> None:
    try:
        inner()
    except ValueError as error:
        raise ConnectionError("error-canary \ud83d\x00") from error


def outline(gateway_page: str = "") -> dict:
    redactor = Redactor(SECRETS)
    crumb = Breadcrumb("crumb-canary", "sql", "info", {"data-canary": ["data-canary"]}, time.time())
    try:
        outer()
    except ConnectionError as error:
        seen = Observation(
            catalogue.load_core().by_id()["pipeline.database"],
            {"operation": "part-canary", "database": "b", "rows": {"context-canary": "context-canary"}},
            {"request_id": "req_1", "endpoint": "/tag-canary"},
            (crumb,),
            "ConnectionError",
            error,
        )
        report = compose(seen, OccurrenceWindow(1, time.time(), time.time(), ()), service="tested", redactor=redactor)
        event = outline_of(report, Origin.of("test", "recsys@1", gateway_page), redactor)
    return json.loads(envelope_of(event).serialize().split(b"\n")[2])


def test_no_secret_is_in_an_outline() -> None:
    text = json.dumps(outline())
    assert [secret for secret in SECRETS if secret in text] == []


def test_an_event_of_a_request_links_to_the_requests_page_if_the_gateway_has_a_public_address() -> None:
    linked = outline("https://alerts.example/")["contexts"]["pipeline"]
    assert linked["request_page"] == "https://alerts.example/dashboard/request/req_1"
    assert "request_page" not in outline()["contexts"]["pipeline"]
    assert Origin.of("test", "recsys@1", "https://alerts.example").request_page(None) == {}


def test_an_outline_names_every_exception_of_the_chain_and_its_places() -> None:
    cause, error = outline()["exception"]["values"]
    assert (cause["type"], error["type"]) == ("ValueError", "ConnectionError")
    assert [frame["function"] for frame in error["stacktrace"]["frames"]] == ["outline", "outer"]
    assert [frame["function"] for frame in cause["stacktrace"]["frames"]] == ["outer", "inner"]


def test_the_normaliser_does_not_object_to_an_outline() -> None:
    normalizer = sentry_relay.StoreNormalizer(project_id=1, key_id="1", enable_trimming=True)
    assert "err" not in json.dumps(normalizer.normalize_event(outline()).get("_meta", {}))


class Vicious:
    def __repr__(self) -> str:
        raise SystemExit("no")


def test_a_local_variable_that_exits_the_program_does_not(on: FakeServer, until) -> None:
    def fail() -> None:
        vicious = Vicious()
        raise ValueError("broken", id(vicious))

    for operation in ("first", "second"):
        with pytest.raises(ValueError, match="broken") as raised:
            fail()
        monitoring.report("pipeline.database", error=raised.value, operation=operation, database="b")
    until(lambda: len(on.events) == 2)


def test_the_outline_goes_when_the_sdk_does_not_make_the_event(fake_server: FakeServer) -> None:
    client = sentry_sdk.Client(
        dsn=fake_server.dsn, transport=CollectorTransport, before_send=lambda *_: None, default_integrations=False
    )
    unhooked = BeforeSend(Redactor(), Counters())
    outbox = Outbox("events", MemoryStore(), client.transport.deliver, Counters())
    sdk = Sdk(client, client.transport)
    path = CollectorPath(sdk, outbox, Origin.of("test", "recsys@1"), Redactor(), unhooked)
    path.start(lambda: None)
    try:
        outer()
    except ConnectionError as error:
        point = catalogue.load_core().by_id()["redis.unexpected_error"]
        seen = Observation(point, {}, {}, (), "ConnectionError", error)
        report = compose(seen, OccurrenceWindow(1, time.time(), time.time(), ()), service="tested", redactor=Redactor())
    path.write_ahead(report)
    path.send(report)
    path.close(5)
    (event,) = fake_server.events
    assert event["event_id"] == report.event_id
    assert event["exception"]["values"][-1]["type"] == "ConnectionError"
    assert "vars" not in event["exception"]["values"][-1]["stacktrace"]["frames"][-1]


def test_another_initialisation_of_the_sdk_takes_nothing_away(on: FakeServer, until) -> None:
    sentry_sdk.init(dsn="", default_integrations=False, auto_enabling_integrations=False)
    monitoring.report("redis.connection_failed", error=ConnectionError())
    until(lambda: len(on.events) == 1)
