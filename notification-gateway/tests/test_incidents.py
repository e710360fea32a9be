"""Signals become incidents; each incident has one message, and one about its end."""

import threading
from datetime import timedelta

import pytest

from monitoring import catalogue
from notification_gateway.silences import queries as silences
from notification_gateway.silences.model import Matcher
from notification_gateway.tables import incidents, notifications, signals, summary_entries
from running_gateway import SteppedGateway, signal


def kinds(stepped: SteppedGateway) -> list[tuple[str, str, str]]:
    return [(row["kind"], row["channel"], row["state"]) for row in stepped.rows(notifications)]


def recovered(stepped: SteppedGateway, *fingerprint: str, **fields: object) -> None:
    stepped.fire(signal(fingerprint or ("model", "deployment_failed"), stepped.watch.now, kind="recovered", **fields))


def test_the_same_signal_id_counts_once_also_within_a_batch(stepped: SteppedGateway) -> None:
    one, other = signal(), signal()
    assert stepped.fire(one, one, other) == (2, 1)
    assert stepped.fire(one) == (0, 1)
    (incident,) = stepped.rows(incidents)
    assert (incident["occurrences"], incident["signals"]) == (2, 2)
    assert len(stepped.rows(signals)) == 2


def test_signals_of_one_fingerprint_are_one_incident_with_one_message(stepped: SteppedGateway) -> None:
    for number in range(5):
        stepped.fire(signal(at=stepped.watch.now, occurrences=number + 1, request_ids=[f"req_{number}"]))
        stepped.watch.forward(seconds=60)
    (incident,) = stepped.rows(incidents)
    assert (incident["state"], incident["priority"], incident["rule"]) == ("open", "P0", "Critical Failures")
    assert (incident["occurrences"], incident["signals"]) == (15, 5)
    assert incident["request_ids"] == [f"req_{number}" for number in range(5)]
    assert incident["last_seen"] - incident["first_seen"] == timedelta(minutes=4)
    assert kinds(stepped) == [("opened", "weixin", "pending")]


def test_service_and_environment_distinguish_incidents(stepped: SteppedGateway) -> None:
    stepped.fire(signal(), signal(service="recommender-api"), signal(environment="staging"))
    assert len(stepped.rows(incidents)) == 3


def test_a_recovery_resolves_the_incident_and_is_notified_once(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    stepped.watch.forward(minutes=1)
    recovered(stepped)
    recovered(stepped)
    (incident,) = stepped.rows(incidents)
    assert (incident["state"], incident["resolution"], incident["resolved_at"]) == (
        "resolved",
        "recovered",
        stepped.watch.now,
    )
    assert kinds(stepped) == [("opened", "weixin", "pending"), ("resolved", "weixin", "pending")]


def test_a_recovery_of_something_else_ends_nothing(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    stepped.watch.forward(minutes=1)
    recovered(stepped, "model", "source_not_found")
    recovered(stepped, environment="staging")
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]


def test_a_star_in_a_recovery_stands_for_any_value_of_that_part(stepped: SteppedGateway) -> None:
    for task in ("extract", "train"):
        stepped.fire(signal(("airflow", "daily", task)))
    stepped.fire(signal(("airflow", "weekly", "train")))
    stepped.watch.forward(minutes=1)
    recovered(stepped, "airflow", "daily", "*")
    states = {tuple(row["fingerprint"][1:]): row["state"] for row in stepped.rows(incidents)}
    assert states == {
        ("daily", "extract"): "resolved",
        ("daily", "train"): "resolved",
        ("weekly", "train"): "open",
    }


def test_a_recovery_ends_the_incident_of_another_service_or_run(stepped: SteppedGateway) -> None:
    step = ("pipeline", "train", "MemoryError")
    stepped.fire(signal(step, monitoring_point="pipeline.critical_step_failed", service="pipeline"))
    stepped.watch.forward(minutes=1)
    recovered(stepped, "pipeline", "train", "*", monitoring_point="pipeline.critical_step_failed", service="airflow")
    (incident,) = stepped.rows(incidents)
    assert (incident["state"], incident["closed_by"]) == ("resolved", "airflow")


def test_that_one_service_is_up_does_not_end_the_failed_start_of_another(stepped: SteppedGateway) -> None:
    failed = ("api", "startup_failed", "ValueError")
    stepped.fire(signal(failed, monitoring_point="api.startup_failed", service="model-registry"))
    stepped.watch.forward(minutes=1)
    up = {"monitoring_point": "api.startup_failed"}
    recovered(stepped, "api", "startup_failed", "*", service="feature-sync", **up)
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]
    recovered(stepped, "api", "startup_failed", "*", service="model-registry", **up)
    assert [row["state"] for row in stepped.rows(incidents)] == ["resolved"]


def test_a_recovery_reported_by_another_service_is_notified_only_without_a_contradiction(
    stepped: SteppedGateway,
) -> None:
    stepped.fire(signal(service="recommender-api"))
    stepped.watch.forward(minutes=1)
    recovered(stepped)
    stepped.watch.forward(seconds=60)
    stepped.fire(signal(at=stepped.watch.now, service="recommender-api"))
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]
    assert kinds(stepped) == [("opened", "weixin", "pending")]


def test_a_recovery_that_comes_after_a_newer_failure_ends_nothing(stepped: SteppedGateway) -> None:
    before = stepped.watch.now
    stepped.fire(signal(at=before))
    stepped.watch.forward(minutes=5)
    stepped.fire(signal(at=stepped.watch.now))
    stepped.fire(signal(at=before + timedelta(minutes=2), kind="recovered"))
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]


QUIET_POINT = ("airflow", "daily", "train")


def test_fifteen_quiet_minutes_end_an_incident_of_a_point_that_ends_so(stepped: SteppedGateway) -> None:
    stepped.fire(signal(QUIET_POINT))
    stepped.pass_time(minutes=14, seconds=59)
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]
    stepped.pass_time(seconds=1)
    assert [(row["state"], row["resolution"]) for row in stepped.rows(incidents)] == [("resolved", "quiet")]
    assert kinds(stepped)[-1] == ("resolved", "weixin", "pending")


@pytest.mark.parametrize("point", [point.id for point in catalogue.load_all() if point.ends == "by_recovery"])
def test_quiet_does_not_resolve_other_points(stepped: SteppedGateway, point: str) -> None:
    stepped.fire(signal(tuple(point.split(".")), monitoring_point=point))
    stepped.pass_time(hours=23)
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]
    assert "resolved" not in [kind for kind, _, _ in kinds(stepped)]


def test_a_repeat_keeps_an_incident_from_going_quiet(stepped: SteppedGateway) -> None:
    stepped.fire(signal(QUIET_POINT))
    stepped.pass_time(minutes=14)
    stepped.fire(signal(QUIET_POINT, at=stepped.watch.now))
    stepped.pass_time(minutes=14)
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]


def test_after_its_end_the_same_fault_is_a_new_incident_with_a_new_message(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    stepped.watch.forward(minutes=1)
    recovered(stepped)
    stepped.watch.forward(minutes=1)
    stepped.fire(signal(at=stepped.watch.now))
    assert [row["state"] for row in stepped.rows(incidents)] == ["resolved", "open"]
    assert [kind for kind, _, _ in kinds(stepped)] == ["opened", "resolved", "opened"]


def test_a_flapping_fault_is_one_incident_without_a_resolved_message(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    for _ in range(5):
        stepped.watch.forward(seconds=10)
        recovered(stepped)
        stepped.watch.forward(seconds=10)
        stepped.fire(signal(at=stepped.watch.now))
    assert [(row["state"], row["occurrences"]) for row in stepped.rows(incidents)] == [("open", 6)]
    assert kinds(stepped) == [("opened", "weixin", "pending")]


def test_a_late_signal_from_before_the_end_counts_and_opens_nothing(stepped: SteppedGateway) -> None:
    began = stepped.watch.now
    stepped.fire(signal(at=began))
    stepped.watch.forward(minutes=5)
    recovered(stepped)
    stepped.watch.forward(minutes=5)
    stepped.fire(signal(at=began + timedelta(minutes=1), occurrences=40))
    assert [(row["state"], row["occurrences"]) for row in stepped.rows(incidents)] == [("resolved", 41)]
    assert [kind for kind, _, _ in kinds(stepped)] == ["opened", "resolved"]


def test_signals_of_verify_are_evaluated_but_never_sent(stepped: SteppedGateway) -> None:
    stepped.fire(signal(environment="verify"), signal(("redis", "connection_failed"), environment="verify"))
    stepped.watch.forward(minutes=1)
    recovered(stepped, environment="verify")
    assert [row["priority"] for row in stepped.rows(incidents)] == ["P0", "P1"]
    assert kinds(stepped) == [("opened", "weixin", "suppressed"), ("resolved", "weixin", "suppressed")]
    assert stepped.rows(summary_entries) == []


def test_p1_and_p2_wait_for_their_summary_and_none_is_only_recorded(stepped: SteppedGateway) -> None:
    stepped.fire(
        signal(("redis", "connection_failed"), level="warning"),
        signal(("pipeline", "train", "ValueError"), level="warning"),
        signal(("fallback", "precomputed_used"), level="info"),
    )
    assert kinds(stepped) == []
    assert sorted((row["alert"], row["channel"]) for row in stepped.rows(summary_entries)) == [
        ("daily_digest", "dashboard"),
        ("hourly_summary", "email"),
    ]
    assert [row["priority"] for row in stepped.rows(incidents)] == ["P1", "P2", "none"]


def test_rates_add_occurrences_of_the_last_hour_over_all_fingerprints_of_the_condition(stepped: SteppedGateway) -> None:
    def warn(name: str, occurrences: int) -> str:
        point = ("fallback", name)
        stepped.fire(signal(point, stepped.watch.now, level="warning", occurrences=occurrences))
        return str(next(row["priority"] for row in stepped.rows(incidents) if row["fingerprint"][1] == name))

    assert warn("redis_failed", 6) == "P2"
    stepped.watch.forward(minutes=50)
    assert warn("static_popular_used", 4) == "P2"
    assert warn("redis_failed", 1) == "P1"
    stepped.watch.forward(minutes=11)
    assert warn("precomputed_load_failed", 5) == "P2"
    assert warn("precomputed_load_failed", 1) == "P1"


def test_rates_of_another_environment_do_not_add(stepped: SteppedGateway) -> None:
    stepped.fire(signal(("fallback", "redis_failed"), level="warning", occurrences=100, environment="verify"))
    stepped.fire(signal(("fallback", "redis_failed"), level="warning"))
    assert {row["environment"]: row["priority"] for row in stepped.rows(incidents)} == {"verify": "P1", "test": "P2"}


def test_an_incident_with_a_raised_priority_is_notified_as_such(stepped: SteppedGateway) -> None:
    stepped.fire(signal(("airflow", "daily", "train"), level="warning"))
    assert kinds(stepped) == []
    stepped.fire(signal(("airflow", "daily", "train"), stepped.watch.now))
    assert [row["priority"] for row in stepped.rows(incidents)] == ["P0"]
    assert kinds(stepped) == [("opened", "weixin", "pending")]


def test_a_failure_of_wechat_is_never_sent_through_wechat(stepped: SteppedGateway) -> None:
    stepped.page_for_everything()
    stepped.fire(signal(("weixin", "send_message_failed")), signal())
    assert sorted(kinds(stepped)) == [("opened", "email", "pending"), ("opened", "weixin", "pending")]


class TestSilences:
    """A silence suppresses notifications for a time."""

    @staticmethod
    def silence(stepped: SteppedGateway, minutes: int = 10, **matcher: object) -> int:
        now = stepped.watch.now
        with stepped.gateway.storage.transaction() as connection:
            return silences.add_silence(
                connection,
                Matcher.model_validate(matcher),
                now,
                now + timedelta(minutes=minutes),
                reason="planned",
                created_by="a test",
                now=now,
            ).id

    @pytest.mark.parametrize(
        "matcher",
        [
            {"fingerprint": ["model", "*"]},
            {"service": "model-registry"},
            {"category": "model", "level": "error"},
            {"environment": "test"},
        ],
    )
    def test_a_silenced_signal_is_recorded_and_not_notified(
        self, stepped: SteppedGateway, matcher: dict[str, object]
    ) -> None:
        silence_id = self.silence(stepped, **matcher)
        stepped.fire(
            signal(), signal(("redis", "connection_failed"), level="error", service="other", environment="other")
        )
        assert kinds(stepped) == []
        by_service = {row["service"]: row["silence_id"] for row in stepped.rows(incidents)}
        assert by_service == {"model-registry": silence_id, "other": None}

    def test_an_incident_that_outlasts_its_silence_is_notified_with_the_next_signal(
        self, stepped: SteppedGateway
    ) -> None:
        self.silence(stepped, service="model-registry")
        stepped.fire(signal())
        stepped.watch.forward(minutes=10)
        stepped.fire(signal(at=stepped.watch.now))
        assert kinds(stepped) == [("opened", "weixin", "pending")]
        assert [row["silence_id"] for row in stepped.rows(incidents)] == [None]

    def test_the_end_of_a_silenced_incident_is_not_notified(self, stepped: SteppedGateway) -> None:
        self.silence(stepped, service="model-registry")
        stepped.fire(signal())
        stepped.watch.forward(minutes=1)
        recovered(stepped)
        assert kinds(stepped) == []


def test_text_that_postgresql_cannot_hold_is_stored_without_it(stepped: SteppedGateway) -> None:
    assert stepped.fire(signal(("api", "a\0b"), message="nul \0 here", tags={"k\0": "v\0"}, request_ids=["r\0"])) == (
        1,
        0,
    )
    (incident,) = stepped.rows(incidents)
    assert incident["message"] == "nul \N{REPLACEMENT CHARACTER} here"


def test_impossible_times_are_clamped(stepped: SteppedGateway) -> None:
    early, late = "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"
    assert stepped.fire(signal(first_seen=early, last_seen=late)) == (1, 0)
    (incident,) = stepped.rows(incidents)
    assert incident["last_seen"] == stepped.watch.now


def test_concurrent_batches_share_one_incident_and_lose_no_count(stepped: SteppedGateway) -> None:
    threads = [
        threading.Thread(target=lambda: [stepped.fire(*(signal() for _ in range(5))) for _ in range(5)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (incident,) = stepped.rows(incidents)
    assert (incident["occurrences"], incident["signals"]) == (100, 100)
    assert kinds(stepped) == [("opened", "weixin", "pending")]
