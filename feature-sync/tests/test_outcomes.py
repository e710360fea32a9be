"""Outcomes: which exposure a click, a favourite or a purchase belongs to, and that each counts once."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr
from sqlalchemy import Engine, func, select, text, update

import monitoring.testing
from contracts.events import BehaviorEvent, Exposure
from contracts.outcomes import OutcomeReport, wilson_interval
from feature_sync.app import create_app
from feature_sync.events.log import EventLog
from feature_sync.events.pending_outcomes import Cohort, pending_outcomes
from feature_sync.featurectl.main import main
from feature_sync.forgetting.table import MarkTable
from feature_sync.outcomes.attribution import MAX_EXPOSURES, Attributed, Attribution, Place
from feature_sync.outcomes.metrics import MAX_VERSIONS, OutcomeMetrics
from feature_sync.outcomes.report import OutcomeSums
from feature_sync.outcomes.service import OutcomeCounting
from feature_sync.outcomes.tables import outcomes
from feature_sync.settings import Settings
from localservers.waiting import wait_until
from servicekit.database_calls import DatabaseCalls
from testkit.serving import Served

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FOREVER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


def _shown(name: str, minutes: float = 0.0, **values: Any) -> Exposure:
    given = {
        "exposure_id": name,
        "user_id": 7,
        "dataset_ids": [11, 12],
        "request_id": f"req_{name}",
        "endpoint": "/recommend/user",
        "model_version": "12",
        "model_variant": "primary",
        "ts": NOW + timedelta(minutes=minutes),
        **values,
    }
    return Exposure.model_validate(given)


def _event(name: str, minutes: float, type_: str = "click", **values: Any) -> BehaviorEvent:
    given = {
        "event_id": name,
        "type": type_,
        "user_id": 7,
        "dataset_id": 12,
        "ts": NOW + timedelta(minutes=minutes),
        **values,
    }
    return BehaviorEvent.model_validate(given)


def _attribute(engine: Engine, settle: float = 0.0) -> Attributed:
    attribution = Attribution(engine, settle, lambda: datetime.now(UTC))
    attribution.count_exposures()
    return attribution.attribute()


def _found(engine: Engine) -> dict[str, tuple[str, int]]:
    with engine.connect() as connection:
        rows = connection.execute(select(outcomes)).all()
    return {row.event_id: (row.exposure_id, row.position) for row in rows}


def _report(engine: Engine, version: str | None = None) -> OutcomeReport:
    return OutcomeSums(engine).report(*FOREVER, version)


DAY = 24 * 60
ONE, TWO = _shown("one"), _shown("two", 20, dataset_ids=[12, 11])
RULES: dict[str, tuple[list[Exposure], BehaviorEvent, tuple[str, int] | None]] = {
    "a click in 30 minutes": ([ONE], _event("e", 30), ("one", 1)),
    "a click after 30 minutes": ([ONE], _event("e", 30.1), None),
    "a favourite in 7 days": ([ONE], _event("e", 7 * DAY, "favorite"), ("one", 1)),
    "a purchase after 7 days": ([ONE], _event("e", 7 * DAY + 1, "purchase"), None),
    "a view": ([ONE], _event("e", 1, "view"), None),
    "the last exposure": ([ONE, TWO], _event("e", 25), ("two", 0)),
    "the last one before the event": ([ONE, TWO], _event("e", 15), ("one", 1)),
    "the request's before the last": ([ONE, TWO], _event("e", 25, request_id="req_one"), ("one", 1)),
    "the request's is too old": ([ONE, TWO], _event("e", 40, request_id="req_one"), ("two", 0)),
    "an unknown request": ([ONE, TWO], _event("e", 25, request_id="req_other"), ("two", 0)),
    "the caller's clock is behind": ([TWO], _event("e", 17, request_id="req_two"), ("two", 0)),
    "a click before an exposure": ([TWO], _event("e", 17), None),
    "another user": ([ONE], _event("e", 1, user_id=8), None),
    "another dataset": ([ONE], _event("e", 1, dataset_id=13), None),
    "an answer to nobody": ([_shown("one", user_id=None)], _event("e", 1, request_id="req_one"), None),
}


def test_an_event_belongs_to_the_exposure_that_led_to_it(event_log: EventLog) -> None:
    for number, (rule, (shown, event, _)) in enumerate(RULES.items()):
        # Users of its own for each rule.
        add = 100 * number
        # A click may be logged before its exposure.
        event_log.add([event.model_copy(update={"event_id": f"e-{number}", "user_id": event.user_id + add})])
        given = [
            each.model_copy(
                update={
                    "exposure_id": f"{rule.replace(' ', '-')}_{each.exposure_id}",
                    "user_id": None if each.user_id is None else each.user_id + add,
                }
            )
            for each in shown
        ]
        event_log.add([], exposures=given)
    done = _attribute(event_log._engine)
    found = _found(event_log._engine)
    places = {rule: found.get(f"e-{number}") for number, rule in enumerate(RULES)}
    assert {rule: place and (place[0].rpartition("_")[2], place[1]) for rule, place in places.items()} == {
        rule: expected for rule, (_, _, expected) in RULES.items()
    }
    assert sum(done.events.values()) == len(RULES) - 1, "all but the view"
    assert {result for _, result in done.events} == {"attributed", "unattributed"}


def test_the_newest_exposures_of_a_user_are_looked_at_and_not_all_of_them(event_log: EventLog) -> None:
    for user, others in ((7, MAX_EXPOSURES), (8, MAX_EXPOSURES - 1)):
        later = [
            _shown(f"u{user}-{number}", 1 + number / MAX_EXPOSURES, user_id=user, dataset_ids=[11])
            for number in range(others)
        ]
        event_log.add([_event(f"click-{user}", 3, user_id=user)], exposures=[_shown(f"u{user}", user_id=user), *later])
    assert _attribute(event_log._engine).events == {("click", "attributed"): 1, ("click", "unattributed"): 1}
    assert _found(event_log._engine) == {"click-8": ("u8", 1)}


def test_an_exposure_has_one_outcome_of_a_type_however_often_its_events_come(event_log: EventLog) -> None:
    engine = event_log._engine
    events = [_event("first", 1), _event("second", 2), _event("bought", 3, "purchase"), _event("apart", 99)]
    control = {"model_version": "11", "experiment_variant": "control"}
    shown = [ONE, _shown("other", user_id=8, dataset_ids=list(range(1, 30)), **control), _shown("nobody", user_id=None)]
    results = []
    for _ in range(3):
        # Delivered again, alone and together.
        event_log.add([*events, *events], exposures=[*shown, *shown])
        event_log.add([events[1]])
        results.append(_attribute(engine).events)
    event_log.add([_event("late", 4)])
    results.append(_attribute(engine).events)
    assert results == [
        {
            ("click", "attributed"): 1,
            ("click", "repeated"): 1,
            ("purchase", "attributed"): 1,
            ("click", "unattributed"): 1,
        },
        {},
        {},
        {("click", "repeated"): 1},
    ]
    report = _report(engine)
    assert [(each.model_version, each.variant, each.exposures) for each in report.models] == [
        ("11", "control", 29),
        ("12", "primary", 2),
    ]
    control_model, primary = report.models
    assert {each.position: each.exposures for each in control_model.positions} == {**dict.fromkeys(range(20), 1), 20: 9}
    assert (primary.clicks.count, primary.clicks.rate, primary.favorites.count, primary.purchases.count) == (
        1,
        0.5,
        0,
        1,
    )
    assert [(each.position, each.clicks.count) for each in primary.positions] == [(0, 0), (1, 1)]
    assert report.unattributed.model_dump() == {"clicks": 1, "favorites": 0, "purchases": 0}
    assert [each.model_version for each in _report(engine, "11").models] == ["11"]
    assert OutcomeSums(engine).report(NOW + timedelta(hours=2), FOREVER[1], None).models == []


def test_the_intervals_are_those_of_wilson() -> None:
    # As statsmodels.stats.proportion.proportion_confint(…, method="wilson") gives them.
    for count, of, expected in ((0, 10, (0.0, 0.27753)), (5, 10, (0.23659, 0.76341)), (180, 4800, (0.03248, 0.04325))):
        assert wilson_interval(count, of) == pytest.approx(expected, abs=1e-5)


def test_events_are_attributed_after_the_time_in_which_their_exposure_may_come(event_log: EventLog) -> None:
    event_log.add([_event("early", 1)], exposures=[ONE])
    assert _attribute(event_log._engine, settle=60).events == {}
    assert _attribute(event_log._engine).events == {("click", "attributed"): 1}


def test_a_forgotten_user_has_no_outcome_and_the_sums_stay(event_log: EventLog) -> None:
    engine = event_log._engine
    event_log.add([_event("mine", 1), _event("other", 1, user_id=8)], exposures=[ONE, _shown("8", user_id=8)])
    _attribute(engine)
    event_log.add([_event("waiting", 2, "favorite")])
    MarkTable(engine, SecretStr("s" * 32)).forget(7)
    assert _attribute(engine).events == {}
    assert set(_found(engine)) == {"other"}
    (model,) = _report(engine).models
    assert (model.exposures, model.clicks.count, model.favorites.count) == (4, 2, 0)


WORKER = """
import sys
from datetime import UTC, datetime
from feature_sync.events.tables import SCHEMA
from feature_sync.outcomes import attribution
from servicekit.database import open_database
attribution.BATCH = 20
each = attribution.Attribution(open_database(sys.argv[1], SCHEMA), 0, lambda: datetime.now(UTC))
print("running", flush=True)
while True:
    each.count_exposures()
    each.attribute(20)
"""


def test_kills_and_two_workers_at_once_count_each_outcome_once(postgres_log: EventLog, postgres_url: str) -> None:
    chance, users = random.Random(7), range(1, 1001)
    for start in range(0, len(users), 10):
        part = users[start : start + 10]
        clicks = [_event(f"click-{user}", 1, user_id=user) for user in part]
        postgres_log.add(clicks, exposures=[_shown(f"exp-{user}", user_id=user) for user in part])
    for _ in range(3):
        started = [
            subprocess.Popen([sys.executable, "-c", WORKER, postgres_url], stdout=subprocess.PIPE) for _ in range(2)
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == b"running\n"
        time.sleep(chance.uniform(0.0, 0.1))
        for process in started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
    with ThreadPoolExecutor() as pool:
        while not all(pool.map(lambda _: _is_done(postgres_log._engine), range(2))):
            pass
    (model,) = _report(postgres_log._engine).models
    assert (model.exposures, model.clicks.count) == (2000, 1000)
    assert len(_found(postgres_log._engine)) == 1000


def _is_done(engine: Engine) -> bool:
    _attribute(engine)
    with engine.connect() as connection:
        return not connection.execute(select(func.count()).select_from(pending_outcomes)).scalar_one()


@pytest.mark.anyio
async def test_a_batch_that_is_too_much_is_divided_and_holds_up_no_exposures(postgres_log: EventLog) -> None:
    engine, now = postgres_log._engine, [datetime.now(UTC)]
    users = range(1, 401)
    shown = [_shown(f"exp-{user}", user_id=user) for user in users]
    postgres_log.add([_event(f"click-{user}", 1, user_id=user) for user in users], exposures=shown)
    with engine.begin() as connection:
        for statement in (
            """CREATE FUNCTION events.limit_batch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (SELECT count(*) FROM gone) > 300 THEN RAISE 'too much'; END IF; RETURN NULL; END $$""",
            """CREATE TRIGGER limit_batch AFTER DELETE ON events.pending_outcomes REFERENCING OLD TABLE AS gone
            FOR EACH STATEMENT EXECUTE FUNCTION events.limit_batch()""",
        ):
            connection.execute(text(statement))
    calls = DatabaseCalls(engine, 10)
    metrics = OutcomeMetrics(CollectorRegistry())
    counting = OutcomeCounting(Attribution(engine, 0, lambda: now[0]), calls, metrics, lambda: now[0])
    now[0] = datetime.now(UTC)
    with monitoring.testing.captured() as captured:
        await counting.step()
        assert [each.tags["operation"] for each in captured.of("pipeline.database")] == ["attribute_outcomes"]
        (model,) = _report(engine).models
        assert (model.exposures, model.clicks.count) == (800, 0)
        now[0] += timedelta(minutes=11)
        assert (counting.check().status, counting.check().detail[:2]) == ("degraded", "66")
        await counting.step()
    assert [each.tags["operation"] for each in captured.recovered] == [
        "count_exposures",
        "measure_outcomes",
        "attribute_outcomes",
    ]
    assert (counting.check().status, counting.check().detail) == ("healthy", "0 s behind")
    (model,) = _report(engine).models
    assert (model.exposures, model.clicks.count) == (800, 400)
    calls.close()


@pytest.fixture
def service(redis_url: str, postgres_url: str, postgres_log: EventLog) -> Iterator[httpx.Client]:
    """A service that starts with a click in an exposure, and a purchase without one."""
    now = datetime.now(UTC)
    shown = [_shown("one", ts=now), _shown("two", ts=now, endpoint="/similar", request_id="r")]
    bought = _event("b", 0, "purchase", ts=now, user_id=99)
    postgres_log.add([_event("c", 0, ts=now, request_id="r"), bought], exposures=shown)
    with postgres_log._engine.begin() as connection:
        connection.execute(update(pending_outcomes).values(received_at=now - timedelta(hours=1)))
    settings = Settings(
        redis_url=SecretStr(redis_url), database_url=SecretStr(postgres_url), admin_token=SecretStr("the-token")
    )
    with Served(create_app(settings)) as served, httpx.Client(base_url=served.url) as client:
        yield client


def test_the_report_and_the_counters_show_what_was_attributed(
    service: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    clicked = (
        'sync_outcomes_total{endpoint="/similar",model_version="12",position="1",type="click",variant="primary"} 1.0'
    )
    wait_until(lambda: clicked in service.get("/metrics").text, within=60, what="the click is counted")
    metrics = service.get("/metrics").text
    assert 'sync_outcome_events_total{result="unattributed",type="purchase"} 1.0' in metrics
    assert 'sync_exposures_total{endpoint="/recommend/user",model_version="12",position="0"' in metrics

    assert service.get("/outcomes").status_code == 401
    service.headers["Authorization"] = "Bearer the-token"
    report = OutcomeReport.model_validate_json(service.get("/outcomes").content)
    assert [(each.endpoint, each.exposures, each.clicks.count) for each in report.models] == [
        ("/recommend/user", 2, 0),
        ("/similar", 2, 1),
    ]
    assert report.until - report.since == timedelta(days=7)
    assert service.get("/outcomes", params={"version": "13"}).json()["models"] == []
    asked = {"since": "2026-11-24T12:30:00+08:00", "until": "2026-11-24T07:59:00Z"}
    answer = service.get("/outcomes", params=asked).json()
    assert (answer["since"], answer["until"], answer["models"]) == ("2026-11-24T04:00:00Z", "2026-11-24T08:00:00Z", [])
    far = service.get("/outcomes", params={"since": "0001-01-01T00:00:00+14:00", "until": "9999-12-31T23:59:59-12:00"})
    assert far.json()["models"] == service.get("/outcomes").json()["models"]
    for wrong in ({"since": "yesterday"}, {"since": "2026-11-24T12:00:00"}, {"since": "2999-01-01T00:00:00Z"}):
        refused = service.get("/outcomes", params=wrong)
        assert (refused.status_code, "since" in refused.text) == (422, True)

    for field, values in {
        "until": ("0001-01-01T00:00:00+14:00", "0001-01-03T00:00:00Z", "1999-12-31T23:59:59Z"),
        "since": ("9999-12-31T23:59:59-14:00",),
        "version": ("\0", "1\x1b"),
    }.items():
        for value in values:
            refused = service.get("/outcomes", params={field: value})
            assert (refused.status_code, field in refused.text) == (422, True), value
    wrong = {"since": "9999-12-31T23:59:59-14:00", "until": "9999-12-31T23:59:59-14:00"}
    assert service.get("/outcomes", params=wrong).status_code == 422

    call = ["--url", str(service.base_url).rstrip("/"), "--token", "the-token", "outcomes"]
    assert main(call) == 0
    shown = capsys.readouterr().out
    assert "12       primary  /similar                   2  50.00% (9.45%-90.55%)" in shown
    assert shown.endswith("without an exposure: 0 clicks, 0 favorites, 1 purchases\n")
    assert main([*call, "--version", "12", "--json"]) == 0
    assert OutcomeReport.model_validate_json(capsys.readouterr().out).models == report.models
    assert main([*call, "--since", "yesterday"]) == 1
    assert "since" in capsys.readouterr().err
    exported = service.get("/users/7/export").json()
    assert [(each["event_id"], each["exposure_id"]) for each in exported["outcomes"]] == [("c", "two")]


def test_the_counters_have_series_of_a_few_versions_and_positions() -> None:
    registry = CollectorRegistry()
    metrics = OutcomeMetrics(registry)
    for version in range(1, MAX_VERSIONS + 4):
        done = Attributed()
        for position in range(21):
            done.sums[Place(Cohort(NOW, str(version), "primary", "/similar"), position)]["exposures"] = 1
        metrics.count(done)
    lines = [line for line in _lines(registry) if line.startswith("sync_exposures_total{")]
    assert len(lines) == MAX_VERSIONS * 11
    assert {line.partition('model_version="')[2].partition('"')[0] for line in lines} == set("45678")
    assert all(line.endswith(" 11.0") for line in lines if 'position="10+"' in line)


def _lines(registry: CollectorRegistry) -> Sequence[str]:
    return generate_latest(registry).decode().splitlines()
