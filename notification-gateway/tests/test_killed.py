"""`kill -9` at each step of a delivery, a hundred times: nothing is lost, and only what was in flight comes twice."""

import asyncio
import multiprocessing
import os
import signal as signals
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from notification_gateway.delivery.channel import Delivered, Outcome
from notification_gateway.delivery.steps import Step
from notification_gateway.delivery.worker import DeliveryLoop
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import Claim, NewNotification
from notification_gateway.outbox.notice import Notice
from notification_gateway.storage import Storage
from notification_gateway.tables import notifications
from running_gateway import Watch

LEASE = timedelta(seconds=20)
PER_ROUND = 3
STEPS = ("claiming", "claimed", "sent", "marking", "marked")


def die() -> None:
    os.kill(os.getpid(), signals.SIGKILL)


class Receiver:
    """A service that appends each message to a file, without deduplication."""

    per_minute = None
    max_concurrent_sends = 1

    def __init__(self, path: Path, dies_at: str, victim: str) -> None:
        self._path = path
        self._dies_at = dies_at
        self._victim = victim

    async def send(self, notice: Notice, key: str) -> Outcome:
        if self._dies_at == "claimed" and key == self._victim:
            die()
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{key}\n")
        if self._dies_at == "sent" and key == self._victim:
            die()
        return Delivered()

    async def close(self) -> None:
        """Nothing is open."""


class NoObserver:
    def on_delivered(self, claimed: Claim, seconds: float) -> None:
        pass

    def on_failed(self, claimed: Claim, outcome: object) -> None:
        pass


class MortalLoop(DeliveryLoop):
    """Dies before or after it marks the victim, or while it claims."""

    dies_at = ""
    victim = ""

    def _claim_now(self, limit: int) -> list[Claim]:
        if self.dies_at != "claiming":
            return super()._claim_now(limit)
        with self._storage.exclusive(self.name) as connection:
            now = self._clock()
            claimed = outbox.claim(connection, self.name, now, LEASE, limit=limit)
            if any(each.dedupe_key == self.victim for each in claimed):
                die()
        return claimed

    def _mark(self, claimed: Claim, step: Step) -> None:
        if self.dies_at == "marking" and claimed.dedupe_key == self.victim:
            die()
        super()._mark(claimed, step)
        if self.dies_at == "marked" and claimed.dedupe_key == self.victim:
            die()


def deliver(url: str, watch: Watch, received: Path, dies_at: str, victim: str) -> None:
    storage = Storage(url)
    loop = MortalLoop("weixin", Receiver(received, dies_at, victim), storage, watch, NoObserver(), lease=LEASE)
    loop.dies_at, loop.victim = dies_at, victim

    async def all_of_it() -> None:
        while await loop.deliver_due():
            pass

    asyncio.run(all_of_it())
    storage.close()


def in_process(*arguments: object) -> int | None:
    # Forked: a hundred interpreters would take minutes to start.
    process = multiprocessing.get_context("fork").Process(target=deliver, args=arguments)
    process.start()
    process.join(30)
    return process.exitcode


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_a_kill_repeats_at_most_the_message_in_flight(
    database_url: str, tmp_path: Path, watch: Watch
) -> None:
    received = tmp_path / "received"
    received.touch()
    storage = Storage(database_url)
    storage.migrate()
    victims = {}
    for number in range(100):
        keys = [f"{number}-{place}" for place in range(PER_ROUND)]
        with storage.transaction() as connection:
            for key in keys:
                new = NewNotification(key, "notify", "weixin", Notice(title=key, reference=key), watch.now)
                outbox.enqueue(connection, new, watch.now)
        storage.close()
        dies_at, victim = STEPS[number % len(STEPS)], keys[number % PER_ROUND]
        victims[victim] = dies_at
        assert in_process(database_url, watch, received, dies_at, victim) == -signals.SIGKILL
        watch.forward(seconds=LEASE.total_seconds())
        assert in_process(database_url, watch, received, "", "") == 0
    arrived = Counter(received.read_text("utf-8").split())
    assert len(arrived) == 100 * PER_ROUND
    twice = {key for key, count in arrived.items() if count > 1}
    assert max(arrived.values()) == 2
    assert twice == {key for key, step in victims.items() if step in ("sent", "marking")}
    with storage.read() as connection:
        assert {row.state for row in connection.execute(notifications.select())} == {"sent"}
    storage.close()
