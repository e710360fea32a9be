"""What users set by plain calls of `sentry_sdk` reaches the points' events, and only those of the same request."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
import sentry_relay
import sentry_sdk

import monitoring
from monitoring.sdk_scopes import RequestScope, enter_request, leave_request, task_values
from testkit.fake_server import FakeServer


@pytest.fixture(autouse=True)
def clean_scopes() -> Any:
    outer = enter_request()
    yield
    leave_request(outer)
    sentry_sdk.get_global_scope().clear()


def sent(server: FakeServer) -> dict[str, Any]:
    monitoring.report("pipeline.database", error=OSError("gone"), operation="read", database="b")
    monitoring.flush()
    return server.events[-1]


def test_tags_contexts_extra_and_user_reach_the_event(on: FakeServer) -> None:
    sentry_sdk.set_tag("team", "search")
    sentry_sdk.set_tags({"region": "cn-east", "beta": True})
    sentry_sdk.set_context("basket", {"items": 3, "names": ["a", "b"]})
    sentry_sdk.set_extra("note", "by hand")
    sentry_sdk.set_user({"id": 7, "segment": "new"})
    event = sent(on)
    assert event["tags"].items() >= {"team": "search", "region": "cn-east", "beta": "true", "service": "tested"}.items()
    assert event["contexts"]["basket"] == {"items": 3, "names": ["a", "b"]}
    assert event["extra"] == {"note": "by hand"}
    assert event["user"] == {"id": 7, "segment": "new"}


def test_breadcrumbs_of_both_kinds_come_in_the_order_of_their_times_and_the_last_twenty(on: FakeServer) -> None:
    start = datetime.now(UTC) - timedelta(seconds=10)
    with monitoring.bound_context(request_id="req_1"):
        monitoring.breadcrumb("ours", category="pipeline")
        sentry_sdk.add_breadcrumb(message="earlier", category="auth", level="warning", data={"n": 1}, timestamp=start)
        sentry_sdk.add_breadcrumb({"message": "later", "type": "http"})
        crumbs = sent(on)["breadcrumbs"]["values"]
        assert [crumb["message"] for crumb in crumbs] == ["earlier", "ours", "later"]
        assert (crumbs[0]["category"], crumbs[0]["level"], crumbs[0]["data"]) == ("auth", "warning", {"n": 1})
        assert crumbs[2]["type"] == "http"
        monitoring.recovered("pipeline.database")
        for number in range(30):
            sentry_sdk.add_breadcrumb(message=f"{number}")
        assert [crumb["message"] for crumb in sent(on)["breadcrumbs"]["values"]] == [f"{n}" for n in range(10, 30)]


def test_a_new_scope_counts_within_its_block_only(on: FakeServer) -> None:
    sentry_sdk.set_tag("step", "outer")
    with sentry_sdk.new_scope() as scope:
        scope.set_tag("step", "inner")
        assert sent(on)["tags"]["step"] == "inner"
    monitoring.recovered("pipeline.database")
    assert sent(on)["tags"]["step"] == "outer"


def test_an_isolation_scope_counts_within_its_block_only(on: FakeServer) -> None:
    with sentry_sdk.isolation_scope():
        sentry_sdk.set_tag("job", "nightly")
        assert sent(on)["tags"]["job"] == "nightly"
    monitoring.recovered("pipeline.database")
    assert "job" not in sent(on)["tags"]


def test_the_global_scope_counts_everywhere(on: FakeServer) -> None:
    sentry_sdk.get_global_scope().set_tag("cluster", "blue")
    sentry_sdk.get_global_scope().set_context("cluster", {"zone": "b"})
    events: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: events.append(sent(on)))
    thread.start()
    thread.join()
    assert events[0]["tags"]["cluster"] == "blue"
    assert events[0]["contexts"]["cluster"] == {"zone": "b"}


def test_what_the_catalogue_promises_comes_before_what_the_user_sets(on: FakeServer) -> None:
    sentry_sdk.set_tags({"service": "mine", "monitoring_point": "mine", "operation": "mine", "request_id": "mine"})
    sentry_sdk.set_context("pipeline", {"occurrences": 99, "mine": 1})
    sentry_sdk.set_user({"id": "mine", "segment": "new"})
    scope = sentry_sdk.get_isolation_scope()
    scope.fingerprint = ["mine"]
    scope.set_level("fatal")
    scope.set_transaction_name("mine")
    with monitoring.bound_context(request_id="req_1", user_id=7):
        event = sent(on)
    expected = {
        "service": "tested",
        "monitoring_point": "pipeline.database",
        "operation": "read",
        "request_id": "req_1",
    }
    assert event["tags"].items() >= expected.items()
    assert event["user"] == {"id": "7", "segment": "new"}
    assert (event["contexts"]["pipeline"]["occurrences"], event["contexts"]["pipeline"]["mine"]) == (1, 1)
    assert (event["fingerprint"], event["level"]) == (["database", "b", "read", "OSError"], "error")
    assert event["transaction"] == "pipeline.database"


def test_signals_are_not_changed_by_it(on: FakeServer) -> None:
    sentry_sdk.set_tag("team", "search")
    sent(on)
    assert "team" not in on.signals[-1]["tags"]


def test_no_secret_leaves_by_it(settings: monitoring.MonitoringSettings, fake_server: FakeServer) -> None:
    monitoring.init("tested", settings, secrets=["configured-canary"])
    sentry_sdk.set_tag("url", "redis://u:tag-canary@h/0")
    sentry_sdk.set_context("call", {"password": "context-canary", "line": "configured-canary"})
    sentry_sdk.set_user({"id": 1, "token": "user-canary"})
    sentry_sdk.add_breadcrumb(message="token=message-canary", data={"secret": "data-canary"})
    sentry_sdk.set_extra("line", "configured-canary")
    text = json.dumps(sent(fake_server))
    assert [
        word for word in ("tag", "context", "configured", "user", "message", "data") if f"{word}-canary" in text
    ] == []


def test_it_is_bounded_and_the_normaliser_does_not_object(on: FakeServer) -> None:
    for number in range(200):
        sentry_sdk.set_context(f"context {number}", {"text": "x" * 4_000, "object": object(), "deep": {"a": {"b": {}}}})
        sentry_sdk.set_tag(f"a name with spaces, and very long: {number}", "two\nlines " + "x" * 500)
    sentry_sdk.set_extra("not finite", float("nan"))
    sentry_sdk.add_breadcrumb(message="odd", level="odd", timestamp="odd", data={"at": datetime.now(UTC)})
    event = sent(on)
    assert len(json.dumps(event["contexts"])) < 60_000
    assert len(event["tags"]) <= 60
    normalizer = sentry_relay.StoreNormalizer(project_id=1, key_id="1", enable_trimming=True)
    assert "err" not in json.dumps(normalizer.normalize_event(event).get("_meta", {}))


def test_a_request_begins_with_what_is_set_around_it_and_leaves_nothing_behind(on: FakeServer) -> None:
    sentry_sdk.set_tag("replica", "1")
    with monitoring.bound_context(request_id="req_1"):
        sentry_sdk.set_tag("customer", "a")
        assert sent(on)["tags"].items() >= {"replica": "1", "customer": "a"}.items()
    monitoring.recovered("pipeline.database")
    with monitoring.bound_context(request_id="req_2"):
        tags = sent(on)["tags"]
    assert tags["replica"] == "1"
    assert "customer" not in tags


def test_a_request_does_not_fill_its_scope_before_it_is_used(on: FakeServer) -> None:
    with monitoring.bound_context(request_id="req_1"):
        scope = sentry_sdk.get_isolation_scope()
        assert isinstance(scope, RequestScope)
        assert task_values() is not None
        assert scope.source is not None
        sentry_sdk.set_user({"id": 1})
        assert scope.source is None
        assert task_values().user == {"id": 1}


@pytest.mark.anyio
async def test_concurrent_requests_do_not_see_one_another(on: FakeServer, anyio_backend: str) -> None:
    sentry_sdk.set_tag("replica", "1")
    both_have_set = anyio.Event()

    async def handle(number: int) -> None:
        with monitoring.bound_context(request_id=f"req_{number}"):
            sentry_sdk.set_tag(f"only_{number}", number)
            # A thread and a task of the request see its scope.
            await anyio.to_thread.run_sync(lambda: sentry_sdk.set_tag("thread", number))
            if number == 2:
                both_have_set.set()
            await both_have_set.wait()
            monitoring.report("pipeline.database", error=OSError(), operation=f"read {number}", database="b")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(handle, 1)
        tasks.start_soon(handle, 2)
    await anyio.to_thread.run_sync(monitoring.flush)
    tags = {event["tags"]["operation"]: event["tags"] for event in on.events}
    for mine, other in ((1, 2), (2, 1)):
        assert tags[f"read {mine}"].items() >= {f"only_{mine}": str(mine), "thread": str(mine), "replica": "1"}.items()
        assert f"only_{other}" not in tags[f"read {mine}"]
