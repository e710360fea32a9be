"""A complete outage is reported with its reason, with or without traffic, and so is its end."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import monitoring.testing
from recommender_api.availability import AvailabilityWatch, ModelState
from recommender_api.availability.failures import FAILURES_IN_A_ROW
from recommender_api.availability.model_state import LOADING_SECONDS, NO_MODEL_SECONDS, REGISTRY_SECONDS
from recommender_api.availability.watch import REMINDER_SECONDS
from recommender_api.recommendations.service import Recommender
from testkit.fake_registry import FakeRegistry
from testkit.running_app import RunningApp

POINT = "api.unavailable"
FIRST_START = ModelState(is_serving=False, had_model=False, registry_answered=True)
SERVING = replace(FIRST_START, is_serving=True)
HAD_MODEL = replace(FIRST_START, had_model=True)
NOT_LOADED = replace(FIRST_START, is_deployed=True, activation_error="version 2: checksum", activation_retried=True)
PATHS = ("/similar/105", "/recommend/detail/105?user_id=7", "/recommend/user/7", "/hot/trending?limit=3")


class Watched:
    """A watch whose inputs the test sets."""

    def __init__(self, state: ModelState) -> None:
        self.state = state
        self.now = 1000.0
        self.answered = 0
        self.watch = AvailabilityWatch(lambda: self.state, lambda _: self.answered, lambda: self.now)

    def after(self, seconds: float) -> None:
        """Let time pass, then review."""
        self.now += seconds
        self.watch.review()


def reported(watched: Watched, after: float) -> list[tuple[str, str]]:
    """Return level and reason of the reports after so much time."""
    with monitoring.testing.captured() as reports:
        watched.after(after)
    return [(report.level, report.tags["reason"]) for report in reports.of(POINT)]


def test_a_first_start_without_a_model_is_a_warning_after_ten_minutes_without_traffic() -> None:
    watched = Watched(FIRST_START)
    assert reported(watched, NO_MODEL_SECONDS - 1) == []
    assert reported(watched, 1) == [("warning", "no_model")]


def test_a_first_start_is_not_reported_earlier_however_much_traffic_there_is() -> None:
    watched = Watched(FIRST_START)
    with monitoring.testing.captured() as reports:
        for _ in range(100):
            watched.watch.refuse("/similar")
    assert reports == []


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (HAD_MODEL, "model_missing"),
        (replace(HAD_MODEL, registry_answered=False, registry_error="refused"), "registry_unreachable"),
        (NOT_LOADED, "model_not_loaded"),
    ],
)
def test_a_service_that_had_a_model_or_should_have_one_is_an_error_at_once(state: ModelState, reason: str) -> None:
    assert reported(Watched(state), 0) == [("error", reason)]


def test_a_bundle_that_the_next_attempt_may_repair_is_an_outage_only_once_a_caller_got_no_answer() -> None:
    watched = Watched(replace(NOT_LOADED, activation_retried=False))
    assert reported(watched, 0) == []
    with monitoring.testing.captured() as reports:
        watched.watch.refuse("/similar")
    assert [(report.level, report.tags["endpoint"]) for report in reports] == [("error", "/similar")]


@pytest.mark.parametrize(
    ("state", "grace", "reason"),
    [
        (replace(FIRST_START, registry_answered=False), LOADING_SECONDS, "starting"),
        (replace(FIRST_START, is_deployed=True), LOADING_SECONDS, "starting"),
        (replace(FIRST_START, registry_error="refused"), REGISTRY_SECONDS, "registry_unreachable"),
    ],
)
def test_the_services_of_a_stack_may_start_in_any_order(state: ModelState, grace: float, reason: str) -> None:
    watched = Watched(state)
    assert reported(watched, grace - 1) == []
    assert reported(watched, 1) == [("error", reason)]


def test_the_first_model_has_its_time_to_load_however_late_it_is_deployed() -> None:
    watched = Watched(FIRST_START)
    assert reported(watched, NO_MODEL_SECONDS - 1) == []
    watched.state = replace(FIRST_START, is_deployed=True)
    assert reported(watched, LOADING_SECONDS - 1) == []
    assert reported(watched, 1) == [("error", "starting")]


def test_an_outage_is_reported_again_each_minute_and_recovers_once() -> None:
    watched = Watched(HAD_MODEL)
    assert reported(watched, 0) != []
    assert reported(watched, REMINDER_SECONDS - 1) == []
    assert reported(watched, 1) != []
    watched.state = SERVING
    with monitoring.testing.captured() as reports:
        watched.after(1)
        watched.after(1)
    assert [report.point_id for report in reports.recovered] == [POINT]


def test_a_process_that_can_answer_ends_the_outage_that_the_previous_one_reported() -> None:
    with monitoring.testing.captured() as reports:
        Watched(SERVING).after(0)
    assert [report.point_id for report in reports.recovered] == [POINT]


def test_an_endpoint_whose_every_answer_fails_is_an_outage_until_it_answers() -> None:
    watched = Watched(SERVING)
    watched.after(0)
    with monitoring.testing.captured() as reports:
        for _ in range(FAILURES_IN_A_ROW - 1):
            watched.watch.count_failure("/similar", "unhandled")
        watched.after(1)
        assert reports == []
        watched.watch.count_failure("/similar", "unhandled")
        watched.after(1)
        assert [(each.level, each.tags["endpoint"], each.tags["reason"]) for each in reports] == [
            ("error", "/similar", "unhandled")
        ]
        assert reports.recovered == []
        watched.answered += 1
        watched.after(1)
    assert [report.point_id for report in reports.recovered] == [POINT]


def test_failures_with_answers_between_them_are_no_outage() -> None:
    watched = Watched(SERVING)
    with monitoring.testing.captured() as reports:
        for _ in range(FAILURES_IN_A_ROW * 3):
            watched.watch.count_failure("/similar", "unhandled")
            watched.answered += 1
    assert reports == []


def test_without_any_model_the_503_names_the_two_commands_that_help(
    start: Callable[..., RunningApp], registry: FakeRegistry, until: Any
) -> None:
    registry.active = None
    api = start(ready=False)
    until(lambda: "make" in api.get("/ready").json()["detail"])
    for path in (*PATHS, "/ready"):
        answer = api.http.get(path)
        assert answer.status_code == 503
        assert "`make import SOURCE=csv DIR=<folder>`" in answer.json()["detail"]
        assert "`make train`" in answer.json()["detail"]


def test_a_deployed_bundle_that_cannot_be_loaded_is_an_outage_and_a_good_one_ends_it(
    start: Callable[..., RunningApp], registry: FakeRegistry, archives: Any, until: Any
) -> None:
    whole = registry.bundles["1"]
    registry.bundles["1"] = b"not a bundle"
    with monitoring.testing.captured() as reports:
        api = start(ready=False)
        until(lambda: reports.of(POINT))
        answers = [api.http.get(path, headers={"X-Request-ID": f"r-{path[1:4]}"}) for path in PATHS]
        assert {answer.status_code for answer in answers} == {503}
        assert "can't be loaded" in answers[0].json()["detail"]
        registry.bundles["1"] = whole
        until(lambda: api.get("/ready").status_code == 200, within=60)
        until(lambda: any(report.point_id == POINT for report in reports.recovered))
    assert {(each.level, each.tags["reason"]) for each in reports.of(POINT)} == {("error", "model_not_loaded")}
    asked = {each.tags["endpoint"] for each in reports.of(POINT) if each.request_ids}
    assert asked == {"/similar", "/recommend/detail", "/recommend/user", "/hot/trending"}


def test_a_replica_that_had_a_model_and_lost_it_is_an_outage_at_once(
    start: Callable[..., RunningApp], registry: FakeRegistry, tmp_path: Any, until: Any
) -> None:
    start().__exit__(None, None, None)
    for bundle in (tmp_path / "models" / "bundles").iterdir():
        bundle.rename(tmp_path / bundle.name)
    registry.mode = "503"
    with monitoring.testing.captured() as reports:
        api = start(ready=False)
        until(lambda: reports.of(POINT))
        assert api.get("/similar/105").status_code == 503
    assert {(each.level, each.tags["reason"]) for each in reports.of(POINT)} == {("error", "registry_unreachable")}


@pytest.mark.parametrize("path", ["/similar/105", "/similar/105?tag=x", "/hot/trending"])
def test_an_exception_in_every_answer_is_an_outage_on_the_fast_path_and_in_the_framework(
    api: RunningApp, monkeypatch: pytest.MonkeyPatch, path: str, until: Any
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as broken, monitoring.testing.captured() as reports:
        broken.setattr(Recommender, "answer", fail)
        answers = [api.http.get(path).status_code for _ in range(FAILURES_IN_A_ROW)]
        assert set(answers) == {500}
    assert {(each.level, each.tags["reason"]) for each in reports.of(POINT)} == {("error", "unhandled")}
    with monitoring.testing.captured() as reports:
        assert api.http.get(path).status_code == 200
        until(lambda: reports.recovered)


def test_malformed_and_unknown_requests_are_not_an_outage(api: RunningApp) -> None:
    with monitoring.testing.captured() as reports:
        for _ in range(FAILURES_IN_A_ROW * 2):
            assert api.get("/similar/0").status_code == 422
            assert api.get("/similar/999").status_code == 404
    assert reports.of(POINT) == []


def responses(api: RunningApp) -> dict[tuple[str, str, str], float]:
    """Return the counts of answers by endpoint, status and reason."""
    return {
        (sample.labels["endpoint"], sample.labels["status"], sample.labels["reason"]): sample.value
        for family in text_string_to_metric_families(api.get("/metrics").text)
        for sample in family.samples
        if sample.name == "recommender_responses_total"
    }


def test_every_answer_is_counted_by_endpoint_status_and_reason_and_every_label_is_there_from_the_start(
    api: RunningApp, held_redis: Any
) -> None:
    before = responses(api)
    asked = [
        (("/similar", "200", ""), "/similar/105"),
        (("/similar", "200", ""), "/similar/106?explain=true"),
        (("/similar", "404", "not_found"), "/similar/999"),
        (("/similar", "422", "invalid"), "/similar/105?limit=0"),
        (("/recommend/user", "200", ""), "/recommend/user/a%2Fb"),
        (("/hot/trending", "200", ""), "/hot/trending"),
        (("/events", "401", "unauthorized"), None),
    ]
    for _, path in asked:
        api.post("/events", json.dumps({"events": []})) if path is None else api.http.get(path)
    held_redis.kill()
    api.get("/recommend/detail/105")
    after = responses(api)
    expected = dict.fromkeys(before, 0.0)
    for labels, _ in asked:
        expected[labels] += 1
    expected["/recommend/detail", "200", "redis_unavailable"] += 1
    assert {labels: after[labels] - before[labels] for labels in before} == expected
    assert after.keys() == before.keys()
