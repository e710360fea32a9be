"""Summaries on a clock that the test moves: every hour and day once, across restarts and daylight saving."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from notification_gateway.policy.model import Alert
from notification_gateway.summaries.periods import Periods
from notification_gateway.tables import digests, notifications
from running_gateway import MailServer, SteppedGateway, Watch, mail_to, settings, signal

Make = Callable[..., SteppedGateway]
BERLIN = ZoneInfo("Europe/Berlin")


def warn(stepped: SteppedGateway, *fingerprint: str) -> None:
    stepped.fire(signal(fingerprint, stepped.watch.now, level="warning", occurrences=2))


def test_p1_incidents_of_an_hour_are_one_email_at_its_end(step_with: Make, mail: MailServer) -> None:
    stepped = step_with(**mail_to(mail.port))
    for minutes in (1, 20, 20):
        stepped.pass_time(minutes=minutes)
        warn(stepped, "redis", "connection_failed")
        stepped.fire(signal(("model", "source_not_found"), stepped.watch.now))
    stepped.pass_time(minutes=18, seconds=29)
    stepped.deliver()
    assert mail.mails == []
    stepped.pass_time(seconds=1)
    stepped.deliver()
    assert len(mail.mails) == 1
    (digest,) = stepped.rows(digests)
    assert digest["notice"]["title"] == "【每小时告警汇总 Hourly alert summary】2 个事件 incidents"
    first, second = digest["notice"]["paragraphs"]
    assert "redis.connection_failed" in first
    assert "6 次 times" in first
    assert "3 次 times" in second


def test_an_hour_without_p1_sends_nothing(step_with: Make, mail: MailServer) -> None:
    stepped = step_with(**mail_to(mail.port))
    for _ in range(5):
        stepped.pass_time(hours=1)
    assert stepped.rows(notifications) == []


def test_p2_of_a_day_is_a_digest_on_the_dashboard_and_no_message(step_with: Make) -> None:
    stepped = step_with(alert_timezone="UTC", alert_digest_hour=9)
    warn(stepped, "pipeline", "train", "ValueError")
    stepped.pass_time(hours=20)
    assert stepped.rows(digests) == []
    stepped.pass_time(hours=1)
    (digest,) = stepped.rows(digests)
    assert (digest["alert"], digest["channel"]) == ("daily_digest", "dashboard")
    assert digest["period_end"] == datetime(2026, 1, 6, 9, tzinfo=UTC)
    assert stepped.rows(notifications) == []


def test_a_fault_that_comes_and_goes_has_one_row_and_crowds_out_no_other(step_with: Make) -> None:
    stepped = step_with(alert_timezone="UTC", alert_digest_hour=9)
    warn(stepped, "pipeline", "once", "ValueError")
    for number in range(120):
        stepped.pass_time(minutes=2)
        recurring = ("data_quality", f"check_{number % 2}")
        warn(stepped, *recurring)
        warn(stepped, *recurring)
        stepped.fire(signal(recurring, stepped.watch.now, kind="recovered", level="warning"))
    stepped.pass_time(hours=20)
    (digest,) = stepped.rows(digests)
    assert "121 个事件 incidents" in digest["notice"]["title"]
    first, second, last = digest["notice"]["paragraphs"]
    for row in (first, second):
        assert "240 次 times · 60 个事件 incidents" in row
    assert "once" in last
    assert "2 次 times" in last


def test_in_72_hours_every_hour_has_one_summary_even_across_restarts(database_url: str) -> None:
    watch = Watch(datetime(2026, 3, 28, 0, 30, tzinfo=UTC))
    stepped = SteppedGateway(settings(database_url, alert_timezone="Europe/Berlin"), watch)
    for hour in range(72):
        warn(stepped, "redis", "connection_failed")
        warn(stepped, "pipeline", "train", "ValueError")
        if hour % 10 == 5:
            # The gateway is down over the end of the hour.
            stepped.close()
            watch.forward(hours=1)
            stepped = SteppedGateway(settings(database_url, alert_timezone="Europe/Berlin"), watch)
            stepped.pass_time()
        else:
            stepped.pass_time(minutes=30)
            stepped.pass_time(minutes=30)
    made = stepped.rows(digests)
    hours = [each["period_start"] for each in made if each["alert"] == "hourly_summary"]
    assert hours == [datetime(2026, 3, 28, tzinfo=UTC) + timedelta(hours=number) for number in range(72)]
    days = [(each["period_start"], each["period_end"]) for each in made if each["alert"] == "daily_digest"]
    # Clocks go forward on 29 March: that day, which ends at nine in the morning, has 23 hours.
    assert [(end - start) / timedelta(hours=1) for start, end in days] == [24, 23, 24]
    assert {end.astimezone(BERLIN).hour for _, end in days} == {9}
    assert len(stepped.rows(notifications)) == 72
    stepped.close()


@pytest.mark.parametrize("alert", ["hourly_summary", "daily_digest"])
@pytest.mark.parametrize("change", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
def test_periods_follow_one_another_without_gap_or_overlap(alert: Alert, change: datetime) -> None:
    for zone in (BERLIN, ZoneInfo("Asia/Shanghai"), ZoneInfo("America/St_Johns")):
        periods = Periods(zone, 2)
        at = change - timedelta(days=2)
        start = periods.start(alert, at)
        while at < change + timedelta(days=2):
            end = periods.end(alert, start)
            assert start <= at < end
            assert periods.start(alert, end) == end
            at += timedelta(minutes=20)
            if at >= end:
                start = end
