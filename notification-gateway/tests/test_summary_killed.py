"""`kill -9` while a summary is made: each occurrence is in exactly one summary, and each summary is one message."""

import multiprocessing
import os
import signal as signals
from pathlib import Path

import pytest
from sqlalchemy import Connection

from notification_gateway.summaries import queries
from notification_gateway.summaries.closing import Summaries
from notification_gateway.tables import digests, notifications, summary_entries
from running_gateway import SteppedGateway, Watch, settings, signal

ROUNDS = 24
STEPS = ("making", "made", "committed", "none")


class MortalSummaries(Summaries):
    """Dies before or after a summary is written, or when it is committed."""

    dies_at = "none"

    def _make(self, connection: Connection, period: queries.Period, *arguments: object, **named: object) -> int:
        if self.dies_at == "making":
            os.kill(os.getpid(), signals.SIGKILL)
        made = super()._make(connection, period, *arguments, **named)  # type: ignore[arg-type]
        if self.dies_at == "made":
            os.kill(os.getpid(), signals.SIGKILL)
        return made


def fire_and_send(url: str, watch: Watch, dies_at: str, *, at_the_end: bool) -> None:
    stepped = SteppedGateway(settings(url), watch)
    stepped.gateway.alerts.summaries.__class__ = MortalSummaries
    stepped.gateway.alerts.summaries.dies_at = dies_at  # type: ignore[attr-defined]
    if dies_at != "none":
        stepped.fire(signal(("redis", "connection_failed"), watch.now, level="warning", occurrences=3))
    if at_the_end:
        stepped.gateway.alerts.summaries.close_due()
    else:
        stepped.gateway.alerts.summaries.send_now("hourly_summary")
    if dies_at == "committed":
        os.kill(os.getpid(), signals.SIGKILL)
    stepped.close()


def in_process(url: str, watch: Watch, dies_at: str, *, at_the_end: bool) -> int | None:
    # Forked: so many interpreters would take minutes to start.
    process = multiprocessing.get_context("fork").Process(
        target=fire_and_send, args=(url, watch, dies_at), kwargs={"at_the_end": at_the_end}
    )
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.timeout(300)
def test_no_occurrence_is_lost_or_counted_twice(sqlite_url: str, tmp_path: Path) -> None:
    watch = Watch()
    SteppedGateway(settings(sqlite_url), watch).close()
    for number in range(ROUNDS):
        dies_at, at_the_end = STEPS[number % 3], number % 2 == 0
        if at_the_end:
            # What the round before has left is of an hour that is over now.
            watch.forward(minutes=61)
        else:
            watch.forward(minutes=1)
        ended = in_process(sqlite_url, watch, dies_at, at_the_end=at_the_end)
        # At the end of an hour there is something to make only if something was left of it.
        assert ended in (-signals.SIGKILL, 0)
        assert in_process(sqlite_url, watch, "none", at_the_end=at_the_end) == 0
    stepped = SteppedGateway(settings(sqlite_url), watch)
    stepped.pass_time(hours=2)
    made = stepped.rows(digests)
    assert stepped.rows(summary_entries) == []
    assert sum(row["content"]["occurrences"] for row in made) == 3 * ROUNDS
    messages = stepped.rows(notifications)
    assert len(messages) == len(made)
    assert {row["notification_id"] for row in made} == {row["id"] for row in messages}
    stepped.close()
