"""The judge of recorded webhooks finds missing and superfluous messages."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from testkit.alert_episodes import Message, expect, judge
from testkit.recorded_webhooks import Outcome, RecordedWebhook

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def webhook(second: float, status: str, starts: float = 0, outcome: Outcome = "accepted") -> RecordedWebhook:
    alert: dict[str, Any] = {"status": status, "fingerprint": "f1", "startsAt": at(starts).isoformat()}
    return RecordedWebhook(at(second), at(second + 0.1), outcome, {"groupKey": "g", "alerts": [alert]})


def message(kind: Literal["opened", "repeated", "resolved"], second: float, sent: float | None = None) -> Message:
    return Message("f1", kind, at(second), at(second + 0.1 if sent is None else sent))


def test_reminders_begin_no_episode_and_a_later_start_does() -> None:
    record = [webhook(1, "firing"), webhook(20, "firing"), webhook(90, "firing", starts=80)]
    verdict = judge(record, [message("opened", 1), message("repeated", 90)])
    assert (verdict.notified, verdict.not_notified, verdict.unfounded) == (2, [], [])
    assert expect(record).reminders == 1


def test_an_episode_without_a_message_and_a_message_without_an_episode_are_found() -> None:
    record = [webhook(1, "firing"), webhook(20, "firing"), webhook(90, "firing", starts=80)]
    verdict = judge(record, [message("opened", 1), message("repeated", 20)])
    assert [each.began.since for each in verdict.not_notified] == [at(90)]
    assert verdict.unfounded == [message("repeated", 20)]


def test_a_message_sent_after_the_next_episode_began_covers_both() -> None:
    record = [webhook(1, "firing"), webhook(5, "firing", starts=4)]
    assert judge(record, [message("opened", 1, sent=6)]).with_pending == 1
    assert len(judge(record, [message("opened", 1, sent=2)]).not_notified) == 1


def test_an_end_counts_if_nothing_fires_during_the_wait() -> None:
    record = [webhook(1, "firing"), webhook(10, "resolved")]
    assert len(judge(record, [message("opened", 1)]).ends_not_notified) == 1
    verdict = judge(record, [message("opened", 1), message("resolved", 10, sent=40)])
    assert (verdict.ends_notified, verdict.unfounded) == (1, [])


def test_an_end_that_is_notified_though_the_alert_fires_again_is_found() -> None:
    record = [webhook(1, "firing"), webhook(10, "resolved"), webhook(20, "firing")]
    false_end = message("resolved", 10, sent=40)
    assert judge(record, [message("opened", 1), false_end]).unfounded == [false_end]
    assert expect(record).still_firing == {"f1"}


def test_an_alert_that_fires_after_its_end_was_notified_is_a_new_episode() -> None:
    record = [webhook(1, "firing"), webhook(10, "resolved"), webhook(50, "firing")]
    assert len(judge(record, [message("opened", 1), message("resolved", 10, sent=40)]).not_notified) == 1


def test_an_attempt_with_unknown_outcome_may_have_been_notified() -> None:
    record = [webhook(1, "firing", outcome="unknown"), webhook(9, "firing")]
    for number in (1, 9):
        verdict = judge(record, [message("opened", number)])
        assert (verdict.notified, verdict.not_notified, verdict.unfounded) == (1, [], [])
    assert judge([webhook(1, "firing", outcome="withheld")], []).not_notified == []


def test_a_late_end_of_an_earlier_episode_ends_nothing() -> None:
    record = [webhook(1, "firing"), webhook(90, "firing", starts=80), webhook(95, "resolved", starts=0)]
    assert expect(record).ends == []


def test_an_overtaken_webhook_is_judged_by_the_time_it_was_sent() -> None:
    overtaken = RecordedWebhook(at(9), at(12), "accepted", webhook(1, "firing").body)
    expected = expect([webhook(1, "firing"), webhook(10, "resolved"), overtaken])
    assert (expected.still_firing, expected.overtaken, expected.unsure) == (set(), 1, {"f1"})


def test_an_attempt_with_unknown_outcome_may_have_prevented_the_message_about_an_end() -> None:
    record = [webhook(1, "firing"), webhook(10, "resolved"), webhook(20, "firing", outcome="unknown")]
    again = [*record, webhook(50, "firing")]
    notified_end, notified_again = message("resolved", 10, sent=41), message("opened", 50)
    for messages in ([message("opened", 1)], [message("opened", 1), notified_end, notified_again]):
        verdict = judge(again, messages)
        assert (verdict.not_notified, verdict.ends_not_notified, verdict.unfounded) == ([], [], [])


def test_an_unrepeated_attempt_with_unknown_outcome_may_be_notified_or_not() -> None:
    record = [webhook(1, "firing"), webhook(10, "resolved", outcome="unknown"), webhook(20, "resolved", starts=15)]
    for messages in ([message("resolved", 10, sent=40)], [message("resolved", 20, sent=50)]):
        verdict = judge(record, [message("opened", 1), *messages])
        assert (verdict.not_notified, verdict.ends_not_notified, verdict.unfounded) == ([], [], [])
