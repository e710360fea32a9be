"""A cause is notified, and its symptoms are grouped under it, except more urgent ones and those of another run."""

from notification_gateway.tables import incidents, notifications, summary_entries
from running_gateway import SteppedGateway, signal

REDIS = ("redis", "connection_failed")
FALLBACK = ("fallback", "redis_failed")


def messages(stepped: SteppedGateway) -> list[tuple[str, int]]:
    return [(row["kind"], row["incident_id"]) for row in stepped.rows(notifications)]


def parents(stepped: SteppedGateway) -> dict[str, int | None]:
    return {".".join(row["fingerprint"]): row["parent_id"] for row in stepped.rows(incidents)}


def test_a_symptom_of_an_open_cause_is_grouped_under_it_and_has_no_message(stepped: SteppedGateway) -> None:
    stepped.page_for_everything()
    stepped.fire(signal(REDIS), signal(FALLBACK, service="recommender-api"))
    assert parents(stepped) == {"redis.connection_failed": None, "fallback.redis_failed": 1}
    assert messages(stepped) == [("opened", 1)]


def test_the_message_of_a_slightly_earlier_symptom_is_withdrawn_and_the_cause_names_it(stepped: SteppedGateway) -> None:
    stepped.page_for_everything()
    stepped.fire(signal(FALLBACK, occurrences=12))
    assert stepped.deliver() == 0
    stepped.watch.forward(seconds=5)
    stepped.fire(signal(REDIS, at=stepped.watch.now))
    assert parents(stepped)["fallback.redis_failed"] == 2
    ((kind, incident),) = messages(stepped)
    assert (kind, incident) == ("opened", 2)
    assert "×12" in str(stepped.rows(notifications)[0]["notice"])


def test_a_symptom_without_its_cause_is_notified_after_the_grace_period(stepped: SteppedGateway) -> None:
    stepped.page_for_everything()
    stepped.fire(signal(FALLBACK))
    assert messages(stepped) == [("opened", 1)]
    due = stepped.rows(notifications)[0]["next_attempt_at"]
    assert 0 < (due - stepped.watch.now).total_seconds() <= 15


def test_a_p0_does_not_wait_for_a_cause(stepped: SteppedGateway) -> None:
    stepped.page_for_everything("P0")
    stepped.fire(signal(FALLBACK))
    assert stepped.rows(notifications)[0]["next_attempt_at"] == stepped.watch.now


def test_a_symptom_that_outlives_its_cause_is_notified(stepped: SteppedGateway) -> None:
    stepped.page_for_everything()
    stepped.fire(signal(REDIS), signal(FALLBACK))
    stepped.watch.forward(minutes=1)
    stepped.fire(signal(REDIS, at=stepped.watch.now, kind="recovered"))
    for _ in range(3):
        stepped.pass_time(minutes=1)
        stepped.fire(signal(FALLBACK, at=stepped.watch.now))
    assert parents(stepped)["fallback.redis_failed"] is None
    assert ("opened", 2) in messages(stepped)


def test_an_incident_from_before_a_cause_is_not_explained_by_it(stepped: SteppedGateway) -> None:
    stepped.page_for_everything()
    stepped.fire(signal(FALLBACK))
    for _ in range(6):
        stepped.pass_time(minutes=10)
        stepped.fire(signal(FALLBACK, at=stepped.watch.now))
    stepped.fire(signal(REDIS, at=stepped.watch.now))
    stepped.pass_time(minutes=1)
    stepped.fire(signal(FALLBACK, at=stepped.watch.now))
    assert parents(stepped) == {"fallback.redis_failed": None, "redis.connection_failed": None}


def test_a_less_urgent_cause_explains_nothing(stepped: SteppedGateway) -> None:
    stepped.fire(signal(REDIS, level="warning"))
    stepped.page_for_everything("P0")
    stepped.fire(signal(FALLBACK))
    assert parents(stepped)["fallback.redis_failed"] is None
    assert messages(stepped) == [("opened", 2)]


def test_a_cause_explains_tasks_of_its_own_run_only(stepped: SteppedGateway) -> None:
    database = ("database", "business", "extract", "OperationalError")
    stepped.fire(signal(database, monitoring_point="pipeline.database", tags={"run_id": "monday"}))
    for run_id, task in (("monday", "extract"), ("tuesday", "train")):
        failed = ("airflow", "recommendation_pipeline", task)
        stepped.fire(signal(failed, monitoring_point="airflow.task_failed", tags={"run_id": run_id}))
    assert [row["parent_id"] for row in stepped.rows(incidents)] == [None, 1, None]
    assert messages(stepped) == [("opened", 1), ("opened", 3)]


def test_an_alert_of_prometheus_is_explained_by_its_name(stepped: SteppedGateway) -> None:
    stepped.page_for_everything()
    stepped.fire(signal(REDIS))
    for name in ("AnswersDegraded", "DiskFull"):
        alert = ("alertmanager", name, "f1")
        stepped.fire(signal(alert, monitoring_point="alertmanager.alert", tags={"starts_at": "2026-01-05T12:00:00"}))
    assert [row["parent_id"] for row in stepped.rows(incidents)] == [None, 1, None]


def test_symptoms_are_still_counted_in_summaries(stepped: SteppedGateway) -> None:
    stepped.fire(signal(REDIS, level="warning"), signal(FALLBACK, level="warning", occurrences=20))
    assert {row["incident_id"]: row["occurrences"] for row in stepped.rows(summary_entries)} == {1: 1, 2: 20}
    assert parents(stepped)["fallback.redis_failed"] == 1


def test_a_symptom_that_outlives_its_cause_is_notified_even_if_it_does_not_fire_again(stepped: SteppedGateway) -> None:
    database = ("database", "business", "extract", "OperationalError")
    failed = ("airflow", "recommendation_pipeline", "extract")
    stepped.fire(signal(database, monitoring_point="pipeline.database", tags={"run_id": "monday"}))
    stepped.fire(signal(failed, monitoring_point="airflow.task_failed", tags={"run_id": "monday"}))
    stepped.pass_time(minutes=1)
    stepped.fire(signal(database, at=stepped.watch.now, monitoring_point="pipeline.database", kind="recovered"))
    stepped.pass_time(minutes=2)
    assert ("opened", 2) not in messages(stepped)
    stepped.pass_time(seconds=1)
    assert messages(stepped).count(("opened", 2)) == 1
    assert [row["parent_id"] for row in stepped.rows(incidents)] == [None, None]
    for _ in range(2):
        stepped.pass_time(minutes=16)
    assert ("escalated", 2) in messages(stepped)
    assert messages(stepped).count(("opened", 2)) == 1


def test_an_incident_that_a_person_grouped_is_notified_after_its_parent_has_ended(stepped: SteppedGateway) -> None:
    stepped.page_for_everything("P0")
    stepped.fire(signal(REDIS))
    stepped.fire(signal(("search", "failed")))
    stepped.gateway.alerts.actions.group(2, 1, "li")
    stepped.deliver()
    stepped.fire(signal(REDIS, at=stepped.watch.now, kind="recovered"))
    stepped.pass_time(minutes=3)
    assert parents(stepped)["search.failed"] is None
    assert ("opened", 2) in messages(stepped)


def fail(
    stepped: SteppedGateway, operation: str, database: str = "events", exception: str = "OperationalError"
) -> None:
    failed = ("database", database, operation, exception)
    stepped.fire(signal(failed, at=stepped.watch.now, monitoring_point="pipeline.database"))


def parent_ids(stepped: SteppedGateway) -> list[int | None]:
    return [row["parent_id"] for row in stepped.rows(incidents)]


def test_one_database_that_is_down_is_one_message_however_many_operations_fail(stepped: SteppedGateway) -> None:
    stepped.page_for_everything("P0")
    fail(stepped, "insert_events")
    stepped.watch.forward(seconds=20)
    fail(stepped, "drop_partitions")
    fail(stepped, "insert_events", exception="DataError")
    fail(stepped, "insert_events", database="registry")
    stepped.watch.forward(seconds=20)
    fail(stepped, "insert_events")
    assert parent_ids(stepped) == [None, 1, None, None]
    assert messages(stepped) == [("opened", 1), ("opened", 3), ("opened", 4)]


def test_an_operation_that_still_fails_after_the_first_one_works_again_is_notified(stepped: SteppedGateway) -> None:
    stepped.page_for_everything("P0")
    for operation in ("read", "write"):
        fail(stepped, operation)
    first = ("database", "events", "read", "OperationalError")
    stepped.fire(signal(first, at=stepped.watch.now, monitoring_point="pipeline.database", kind="recovered"))
    for _ in range(3):
        stepped.pass_time(minutes=1)
        fail(stepped, "write")
    assert parent_ids(stepped) == [None, None]
    assert ("opened", 2) in messages(stepped)


def test_an_operation_that_fails_long_after_the_first_one_or_after_a_person_has_seen_it_is_notified(
    stepped: SteppedGateway,
) -> None:
    stepped.page_for_everything("P0")
    fail(stepped, "read")
    stepped.gateway.alerts.actions.acknowledge(1, "li")
    stepped.watch.forward(seconds=1)
    fail(stepped, "write")
    for _ in range(11):
        stepped.pass_time(minutes=1)
        fail(stepped, "write")
    fail(stepped, "drop")
    assert parent_ids(stepped) == [None, None, None]
    assert [each for each in messages(stepped) if each[0] == "opened"] == [("opened", 1), ("opened", 2), ("opened", 3)]


def test_an_incident_that_people_were_notified_of_is_not_grouped_under_an_earlier_one(stepped: SteppedGateway) -> None:
    stepped.page_for_everything("P0")
    fail(stepped, "read")
    stepped.pass_time(minutes=5)
    fail(stepped, "write")
    assert ("opened", 2) in messages(stepped)
    for operation in ("read", "write"):
        fail(stepped, operation)
    assert parent_ids(stepped) == [None, None]


def test_an_operation_that_failed_once_is_notified_when_the_first_one_does_not_fail_again(
    stepped: SteppedGateway,
) -> None:
    stepped.page_for_everything("P0")
    for operation in ("read", "write"):
        fail(stepped, operation)
    stepped.pass_time(seconds=150)
    assert messages(stepped) == [("opened", 1)]
    stepped.pass_time(seconds=1)
    assert messages(stepped) == [("opened", 1), ("opened", 2)]


def test_what_a_person_grouped_stays_grouped_while_its_parent_is_open(stepped: SteppedGateway) -> None:
    stepped.page_for_everything("P0")
    for database in ("events", "registry"):
        fail(stepped, "read", database=database)
    stepped.gateway.alerts.actions.group(2, 1, "li")
    stepped.pass_time(minutes=5)
    assert parent_ids(stepped) == [None, 1]
