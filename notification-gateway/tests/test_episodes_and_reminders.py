"""An open incident is notified again: for a new run, deployment or episode, and until it is acknowledged."""

from datetime import timedelta

from notification_gateway.silences import queries as silences
from notification_gateway.silences.model import Matcher
from notification_gateway.tables import incidents, notifications, summary_entries
from running_gateway import SteppedGateway, signal

TASK = ("airflow", "recommendation_pipeline", "train")


def kinds(stepped: SteppedGateway) -> list[str]:
    return [row["kind"] for row in stepped.rows(notifications)]


def fail(stepped: SteppedGateway, run_id: str, **fields: object) -> None:
    stepped.fire(
        signal(TASK, stepped.watch.now, monitoring_point="airflow.task_failed", tags={"run_id": run_id}, **fields)
    )


def mark_sent(stepped: SteppedGateway) -> None:
    with stepped.gateway.storage.transaction() as connection:
        connection.execute(notifications.update().values(state="sent"))


def test_each_night_of_a_repeated_failure_is_notified_even_after_an_acknowledgement(stepped: SteppedGateway) -> None:
    fail(stepped, "monday")
    mark_sent(stepped)
    stepped.gateway.alerts.actions.acknowledge(1, "li.wei")
    for night in ("tuesday", "wednesday"):
        stepped.pass_time(hours=24)
        fail(stepped, night)
        mark_sent(stepped)
    assert kinds(stepped) == ["opened", "repeated", "repeated"]
    (incident,) = stepped.rows(incidents)
    assert (incident["state"], incident["episode"], incident["occurrences"]) == ("open", "wednesday", 3)
    assert "wednesday" in str(stepped.rows(notifications)[-1]["notice"])


def test_the_same_run_is_notified_once(stepped: SteppedGateway) -> None:
    for _ in range(3):
        fail(stepped, "monday")
        mark_sent(stepped)
        stepped.watch.forward(minutes=5)
    assert kinds(stepped) == ["opened"]


def test_episodes_that_arrive_faster_than_messages_are_sent_are_one_message(stepped: SteppedGateway) -> None:
    for number in range(5):
        fail(stepped, f"backfill-{number}")
    assert kinds(stepped) == ["opened"]


def test_a_late_earlier_episode_of_alertmanager_is_not_a_new_one(stepped: SteppedGateway) -> None:
    def fire(starts_at: str, kind: str = "fired", ended: timedelta = timedelta(0)) -> None:
        stepped.fire(
            signal(
                ("alertmanager", "DiskFull", "f1"),
                stepped.watch.now - ended,
                monitoring_point="alertmanager.alert",
                kind=kind,
                tags={"starts_at": starts_at},
            )
        )
        mark_sent(stepped)
        stepped.watch.forward(minutes=2)

    fire("2026-01-05T08:00:00+00:00")
    fire("2026-01-05T11:00:00+00:00")
    fire("2026-01-05T08:00:00+00:00")
    fire("2026-01-05T08:00:00+00:00", kind="recovered", ended=timedelta(hours=2))
    (incident,) = stepped.rows(incidents)
    assert (incident["episode"], incident["state"]) == ("2026-01-05T11:00:00+00:00", "open")
    fire("2026-01-05T11:00:00+00:00", kind="recovered")
    assert stepped.rows(incidents)[0]["state"] == "resolved"


def test_an_open_p0_is_reminded_of_every_four_hours_until_it_is_acknowledged(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    mark_sent(stepped)
    stepped.pass_time(minutes=15)
    assert set(kinds(stepped)) == {"opened", "escalated"}
    for _ in range(2):
        stepped.pass_time(hours=4)
        stepped.pass_time(minutes=1)
    reminders = [row for row in stepped.rows(notifications) if row["kind"] == "reminded"]
    assert sorted(row["channel"] for row in reminders) == ["email", "email", "weixin", "weixin"]
    stepped.gateway.alerts.actions.acknowledge(1, "li.wei")
    stepped.pass_time(hours=48)
    assert kinds(stepped).count("reminded") == len(reminders)


def test_an_open_p1_is_in_a_summary_again_every_day(stepped: SteppedGateway) -> None:
    stepped.fire(signal(("redis", "connection_failed"), level="warning"))
    stepped.pass_time(hours=2)
    assert stepped.rows(summary_entries) == []
    stepped.pass_time(hours=22)
    assert [(row["alert"], row["occurrences"]) for row in stepped.rows(summary_entries)] == [("hourly_summary", 0)]


def test_silenced_incidents_are_not_reminded_of(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    mark_sent(stepped)
    now = stepped.watch.now
    with stepped.gateway.storage.transaction() as connection:
        silences.add_silence(
            connection,
            Matcher(service="model-registry"),
            now,
            now + timedelta(hours=8),
            reason="planned",
            created_by="a test",
            now=now,
        )
    stepped.pass_time(hours=7)
    assert kinds(stepped) == ["opened"]
    stepped.pass_time(hours=2)
    assert kinds(stepped) == ["opened", "escalated", "escalated"]
    stepped.pass_time(hours=4)
    assert kinds(stepped).count("reminded") == 2


def test_an_abandoned_incident_closes_after_thirty_days_and_is_listed(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    stepped.gateway.alerts.actions.acknowledge(1, "li.wei")
    stepped.pass_time(days=29, hours=23)
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]
    stepped.pass_time(hours=1)
    assert [(row["state"], row["resolution"]) for row in stepped.rows(incidents)] == [("resolved", "abandoned")]
    assert [(row["alert"], row["channel"]) for row in stepped.rows(summary_entries)] == [("daily_digest", "dashboard")]
    (ended,) = [row for row in stepped.rows(notifications) if row["kind"] == "resolved"]
    assert "30 天内没有信号 no signal for 30 days" in str(ended["notice"])


def test_incidents_that_do_not_end_by_quiet_are_escalated(stepped: SteppedGateway) -> None:
    fail(stepped, "monday")
    stepped.pass_time(minutes=14)
    assert kinds(stepped) == ["opened"]
    for _ in range(20):
        stepped.pass_time(minutes=1)
    assert kinds(stepped) == ["opened", "escalated", "escalated"]
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]


def test_a_reminder_is_late_rather_than_lost_when_the_gateway_was_down(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    mark_sent(stepped)
    stepped.watch.now += timedelta(hours=9)
    stepped.gateway.alerts.reminders.remind()
    assert kinds(stepped) == ["opened", "reminded"]
