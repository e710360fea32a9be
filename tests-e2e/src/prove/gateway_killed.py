"""`kill -9` of the gateway at random moments while it escalates, reminds, repeats, summarizes and closes.

A round is a script on a simulated clock: it fires, escalates, reminds, fires another run, closes the hour's summary,
closes the incident, and delivers. A child process runs it and is killed before a random SQL statement or after a random
message; another child continues after the kill. No message may be missing, and only the message in flight may come
twice.
"""

import asyncio
import multiprocessing
import os
import random
import signal as signals
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event, select

from bench.results import Goal, Result
from contracts.signals import AlertSignal
from notification_gateway.actions.service import IncidentStateError
from notification_gateway.delivery.channel import Delivered, Outcome
from notification_gateway.delivery.worker import DeliveryLoop
from notification_gateway.outbox.notice import Notice
from notification_gateway.tables import incidents, notifications
from prove.simulated_gateway import SilentObserver, open_gateway

KILLS = 100
LEASE = timedelta(seconds=20)
ROUND = timedelta(days=2)
BEGIN = datetime(2026, 1, 5, 3, 0, 30, tzinfo=UTC)
# Moments counted in a round before the first kill.
_NEVER = 0


@dataclass(frozen=True)
class _Round:
    """One run of the script; it dies at its `moment`-th statement or message (0: never)."""

    folder: Path
    number: int
    moment: int = _NEVER

    @property
    def service(self) -> str:
        return f"round-{self.number}"

    @property
    def progress(self) -> Path:
        return self.folder / f"progress-{self.number}"

    @property
    def received(self) -> Path:
        return self.folder / "received"


class _Countdown:
    """Kills its process at a given moment; counts the moments so far."""

    def __init__(self, moment: int) -> None:
        self._moment = moment
        self.passed = 0

    def tick(self) -> None:
        self.passed += 1
        if self.passed == self._moment:
            os.kill(os.getpid(), signals.SIGKILL)


class _Receiver:
    """The receiver: a file to which each message is appended, without any check for duplicates."""

    per_minute = None
    max_concurrent_sends = 1

    def __init__(self, path: Path, countdown: _Countdown) -> None:
        self._path = path
        self._countdown = countdown

    async def send(self, notice: Notice, key: str) -> Outcome:  # noqa: ARG002 - the port's
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{key}\n")
        self._countdown.tick()
        return Delivered()

    async def close(self) -> None:
        """Do nothing: no file is open."""


class _Script:
    """The steps of a round, each at its time; every step may be repeated."""

    def __init__(self, given: _Round) -> None:
        self._given = given
        self._begin = BEGIN + given.number * ROUND
        self.now = self._begin
        self.countdown = _Countdown(given.moment)
        self._gateway = open_gateway(given.folder, lambda: self.now)
        event.listen(self._gateway.storage.engine, "before_cursor_execute", lambda *_: self.countdown.tick())

    def run(self) -> None:
        """Run the remaining steps."""
        steps: Sequence[tuple[timedelta, Callable[[], object]]] = (
            (timedelta(0), lambda: self._fire("first")),
            (timedelta(minutes=15), self._gateway.alerts.escalation.escalate),
            (timedelta(hours=1), self._gateway.alerts.summaries.close_due),
            (timedelta(hours=5), self._gateway.alerts.reminders.remind),
            (timedelta(hours=24), lambda: self._fire("second")),
            (timedelta(hours=25), self._gateway.alerts.summaries.close_due),
            (timedelta(hours=26), self._close),
        )
        done = int(self._given.progress.read_text()) if self._given.progress.exists() else 0
        for number, (after, step) in enumerate(steps[done:], start=done + 1):
            self.now = self._begin + after
            step()
            self._given.progress.write_text(str(number))
            self._deliver()
        # The message about the end waits for its time, and a lease of a dead child has to expire.
        for hours in (27, 28):
            self.now = self._begin + timedelta(hours=hours)
            self._deliver()

    def _fire(self, run_id: str) -> None:
        at = self.now.isoformat()
        common = {
            "kind": "fired",
            "category": "pipeline",
            "service": self._given.service,
            "environment": "production",
            "first_seen": at,
            "last_seen": at,
        }
        urgent = {
            "signal_id": f"{self._given.service}-{run_id}-urgent",
            "monitoring_point": "airflow.task_failed",
            "fingerprint": ["airflow", "nightly", self._given.service],
            "level": "error",
            "message": "train failed",
            "tags": {"run_id": run_id},
        }
        later = {
            "signal_id": f"{self._given.service}-{run_id}-later",
            "monitoring_point": "redis.connection_failed",
            "fingerprint": ["redis", "connection_failed"],
            "level": "warning",
            "message": "refused",
        }
        self._gateway.alerts.intake.accept([AlertSignal.model_validate(common | each) for each in (urgent, later)])

    def _close(self) -> None:
        with self._gateway.storage.read() as connection:
            mine = select(incidents.c.id).where(incidents.c.service == self._given.service, incidents.c.state == "open")
            found = list(connection.execute(mine).scalars())
        for incident_id in found:
            try:
                self._gateway.alerts.actions.close(incident_id, "li.wei", "done")
            except IncidentStateError:
                continue

    def _deliver(self) -> None:
        async def all_channels() -> None:
            for name in ("weixin", "email"):
                receiver = _Receiver(self._given.received, self.countdown)
                loop = DeliveryLoop(
                    name, receiver, self._gateway.storage, lambda: self.now, SilentObserver(), lease=LEASE
                )
                while await loop.deliver_due():
                    pass

        asyncio.run(all_channels())


def prove(folder: Path, seed: int) -> list[Result]:
    """Kill it a hundred times."""
    return kill_rounds(folder, seed, KILLS)


def kill_rounds(folder: Path, seed: int, kills: int) -> list[Result]:
    """Run a round without a kill, then `kills` rounds with one each, and compare the messages."""
    dice = random.Random(seed)
    moments = _in_child(_Round(folder, 0))
    if moments is None:
        raise RuntimeError("the round without a kill failed")
    died = 0
    for number in range(1, kills + 1):
        given = _Round(folder, number, dice.randint(1, moments))
        died += _in_child(given) is None
        if _in_child(replace(given, moment=_NEVER)) is None:
            raise RuntimeError(f"round {number} did not continue after its kill")
    arrived = Counter((folder / "received").read_text("utf-8").split())
    expected, found, undelivered = _compare(folder, kills)
    twice = sum(count - 1 for count in arrived.values())
    part = "gateway killed: "
    return [
        Result(part + "moments per round", moments, "moments"),
        Result(part + "kills", died, "kills", Goal(least=kills * 0.9)),
        Result(part + "messages per round", sum(expected.values()), "messages"),
        Result(part + "rounds with a missing or an extra message", _differing(expected, found), "rounds", Goal(most=0)),
        Result(part + "messages not delivered", undelivered, "messages", Goal(most=0)),
        Result(part + "messages sent twice", twice, "messages", Goal(most=died)),
        Result(part + "most deliveries of one message", max(arrived.values()), "times", Goal(most=2)),
    ]


def _in_child(given: _Round) -> int | None:
    """Run a round in a child process; return its moments, None if it died."""
    # Forked, because starting hundreds of interpreters would take minutes.
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(given, theirs))
    process.start()
    theirs.close()
    process.join(120)
    if process.exitcode == -signals.SIGKILL:
        return None
    if process.exitcode != 0:
        raise RuntimeError(f"round {given.number} ended with {process.exitcode}")
    moments: int = mine.recv()
    return moments


def _run(given: _Round, answer: Any) -> None:
    script = _Script(given)
    script.run()
    answer.send(script.countdown.passed)


def _compare(folder: Path, kills: int) -> tuple[Counter[str], dict[int, Counter[str]], int]:
    """Return the messages by kind for the round without a kill and for each other round, and the undelivered ones."""
    gateway = open_gateway(folder, lambda: BEGIN)
    found: dict[int, Counter[str]] = {number: Counter() for number in range(kills + 1)}
    undelivered = 0
    arrived = set((folder / "received").read_text("utf-8").split())
    with gateway.storage.read() as connection:
        services = {
            row.id: int(row.service.rpartition("-")[2])
            for row in connection.execute(select(incidents.c.id, incidents.c.service))
        }
        for row in connection.execute(select(notifications)):
            number = (row.created_at - BEGIN) // ROUND if row.incident_id is None else services[row.incident_id]
            found[number][f"{row.kind} {row.channel} {row.state}"] += 1
            undelivered += row.dedupe_key not in arrived
    gateway.storage.close()
    return found.pop(0), found, undelivered


def _differing(expected: Counter[str], found: dict[int, Counter[str]]) -> int:
    return sum(each != expected for each in found.values())
