"""200 simulated days of the gateway: people are notified of every fault, of nothing else, and of its right end."""

import asyncio
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bench.results import Goal, Result
from contracts.signals import AlertSignal
from notification_gateway.delivery.channel import FakeChannel
from notification_gateway.delivery.worker import DeliveryLoop
from notification_gateway.outbox import queries as outbox
from notification_gateway.tables import digests, incidents, notifications
from prove.alert_faults import DAY, MINUTE, Event, Fault, Script
from prove.simulated_gateway import SilentObserver, open_gateway

DAYS, PARTS = 200, 2
START = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)
# The largest step of time while nothing happens, and the step after an event.
IDLE, SOON = timedelta(minutes=10), timedelta(seconds=20)
P0_SECONDS = 60
ESCALATED_AFTER = timedelta(minutes=15)
REMINDED_AFTER = timedelta(hours=4)
# The gateway's queue is checked at each step of time.
TOLERANCE = 2 * IDLE
_ALARMS = ("opened", "repeated", "reminded", "escalated")


@dataclass
class _Tally:
    """Counts of correct results, and the names of the wrong ones."""

    faults: int = 0
    not_notified: list[str] = field(default_factory=list)
    nights: int = 0
    missing_nights: list[str] = field(default_factory=list)
    wrong_ends: list[str] = field(default_factory=list)
    not_escalated: list[str] = field(default_factory=list)
    alarms: int = 0
    false_alarms: list[str] = field(default_factory=list)
    false_resolved: list[str] = field(default_factory=list)
    longest_p0: float = 0.0

    def add(self, other: "_Tally") -> None:
        """Add the counts of another part."""
        for name in self.__dataclass_fields__:
            if name != "longest_p0":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest_p0 = max(self.longest_p0, other.longest_p0)


class _Days:
    """The gateway on a simulated clock."""

    def __init__(self, folder: Path, script: Script, days: int) -> None:
        self._script = script
        self._end = START + days * DAY
        self.now = START
        self._gateway = open_gateway(folder, lambda: self.now)
        self._loops = [
            DeliveryLoop(
                name,
                FakeChannel(),
                self._gateway.storage,
                lambda: self.now,
                SilentObserver(),
                lease=MINUTE,
                group=self._gateway.composer.compose_storm,
            )
            for name in ("weixin", "email")
        ]

    def run(self) -> _Tally:
        """Simulate the days and judge the result."""
        with asyncio.Runner() as runner:
            coming = list(reversed(self._script.events))
            while self.now < self._end:
                until = self.now + IDLE
                if coming and coming[-1].at < until:
                    self.now = max(self.now, coming[-1].at)
                    due = []
                    while coming and coming[-1].at <= self.now:
                        due.append(coming.pop())
                    self._happen(due)
                    runner.run(self._deliver())
                    self.now += SOON
                else:
                    self.now = until
                self._pass_time()
                runner.run(self._deliver())
        return self._judge()

    def _happen(self, due: Sequence[Event]) -> None:
        signals: list[AlertSignal] = [each.signal for each in due if each.signal is not None]
        if signals:
            self._gateway.alerts.intake.accept(signals)
        for each in due:
            if each.person is not None and each.fault is not None:
                self._act(each.person, each.fault)

    def _act(self, person: str, fault: Fault) -> None:
        with self._gateway.storage.read() as connection:
            wanted = select(incidents.c.id).where(incidents.c.message == fault.name, incidents.c.state == "open")
            found = list(connection.execute(wanted).scalars())
        for incident_id in found:
            if person == "acknowledge":
                self._gateway.alerts.actions.acknowledge(incident_id, "li.wei")
            else:
                self._gateway.alerts.actions.close(incident_id, "li.wei", false_alarm=person == "false_alarm")

    def _pass_time(self) -> None:
        self._gateway.alerts.orphans.release()
        self._gateway.alerts.escalation.escalate()
        self._gateway.alerts.expiry.resolve()
        self._gateway.alerts.reminders.remind()
        self._gateway.alerts.summaries.close_due()

    async def _deliver(self) -> None:
        with self._gateway.storage.read() as connection:
            if outbox.oldest_due(connection, self.now) is None:
                return
        for loop in self._loops:
            while await loop.deliver_due():
                pass

    def _judge(self) -> _Tally:
        with self._gateway.storage.read() as connection:
            rows = [dict(row) for row in connection.execute(select(incidents)).mappings()]
            sent = [dict(row) for row in connection.execute(select(notifications)).mappings()]
            summaries = [dict(row) for row in connection.execute(select(digests)).mappings()]
        self._gateway.storage.close()
        return _Verdict(self._script.faults, rows, sent, summaries, self._end).tally()


class _Verdict:
    """Compares the true faults with the incidents and messages of the gateway."""

    def __init__(
        self,
        faults: Sequence[Fault],
        rows: Sequence[dict[str, Any]],
        sent: Sequence[dict[str, Any]],
        summaries: Sequence[dict[str, Any]],
        end: datetime,
    ) -> None:
        # The summaries of the last days may not be closed yet.
        self._faults = [each for each in faults if each.begins < end - 2 * DAY]
        self._by_name = {each.name: each for each in faults}
        self._end = end
        self._incidents: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            self._incidents.setdefault(row["message"], []).append(row)
        self._by_id = {row["id"]: row for row in rows}
        self._sent: dict[int, list[dict[str, Any]]] = {}
        for row in sent:
            if row["incident_id"] is not None and row["state"] == "sent":
                self._sent.setdefault(row["incident_id"], []).append(row)
        self._summaries = [(each, str(each["notice"])) for each in summaries]
        self._tally = _Tally(faults=len(self._faults))

    def tally(self) -> _Tally:
        for fault in self._faults:
            mine = self._incidents.get(fault.name, [])
            if not mine:
                self._tally.not_notified.append(f"{fault.name}: no incident")
                continue
            if not self._is_notified(fault, mine):
                self._tally.not_notified.append(f"{fault.name} {mine[0]['priority']} under {mine[0]['parent_id']}")
            self._check_nights(fault, mine)
            self._check_end(fault, mine)
            self._check_escalation(fault, mine)
        self._check_messages()
        return self._tally

    def _is_notified(self, fault: Fault, mine: Sequence[dict[str, Any]]) -> bool:
        first = mine[0]
        if first["priority"] == "none":
            return True
        if first["priority"] == "P0":
            notified = first if first["parent_id"] is None else self._by_id[first["parent_id"]]
            opened = [each for each in self._sent.get(notified["id"], []) if each["kind"] == "opened"]
            if not opened:
                return False
            waited: float = (min(each["sent_at"] for each in opened) - fault.begins).total_seconds()
            self._tally.longest_p0 = max(self._tally.longest_p0, waited)
            return waited <= P0_SECONDS
        # Faults of the summaries themselves, such as undeliverable email, are notified at once.
        was_notified = any(each["kind"] == "opened" for each in self._sent.get(first["id"], []))
        return was_notified or self._is_in_summary(fault, fault.begins)

    def _is_in_summary(self, fault: Fault, at: datetime) -> bool:
        return any(
            fault.name in text and each["period_start"] <= at < each["period_end"] for each, text in self._summaries
        )

    def _check_nights(self, fault: Fault, mine: Sequence[dict[str, Any]]) -> None:
        if len(fault.episodes) == 1:
            return
        nights = [fault.begins + number * DAY for number in range(len(fault.episodes))]
        if mine[0]["priority"] == "P0":
            nights = [night for night in nights if night < self._end - DAY]
            messages = [
                each
                for row in mine
                for each in self._sent.get(row["id"], [])
                if each["kind"] in ("opened", "repeated") and each["channel"] == "weixin"
            ]
            missing = max(len(nights) - len(messages), 0)
        elif fault.point == "alertmanager.alert":
            missing = 0
        else:
            nights = [night for night in nights if night < self._end - 2 * DAY]
            missing = sum(not self._is_in_summary(fault, night) for night in nights)
        self._tally.nights += len(nights)
        if missing:
            self._tally.missing_nights.append(f"{fault.name}: {missing} of {len(fault.episodes)}")

    def _check_end(self, fault: Fault, mine: Sequence[dict[str, Any]]) -> None:
        last = mine[-1]
        if fault.ends_at is None or fault.ends_at > self._end - TOLERANCE:
            return
        if (last["state"], last["resolution"]) != ("resolved", fault.resolution):
            self._tally.wrong_ends.append(f"{fault.name}: {last['state']} {last['resolution']}, not {fault.resolution}")
        elif not fault.ends_at - TOLERANCE <= last["resolved_at"] <= fault.ends_at + TOLERANCE:
            self._tally.wrong_ends.append(f"{fault.name}: ended {last['resolved_at']}, not {fault.ends_at}")
        elif len(mine) > 1:
            self._tally.wrong_ends.append(f"{fault.name}: {len(mine)} incidents")

    def _check_escalation(self, fault: Fault, mine: Sequence[dict[str, Any]]) -> None:
        first = mine[0]
        ends_at = fault.ends_at or self._end
        attended = min(fault.acknowledged_at or ends_at, ends_at)
        if first["priority"] != "P0" or first["parent_id"] is not None:
            return
        sent = self._sent.get(first["id"], [])
        kinds = {each["kind"] for each in sent}
        if attended - fault.begins > ESCALATED_AFTER + TOLERANCE and "escalated" not in kinds:
            self._tally.not_escalated.append(fault.name)
        # While a cause explained it, the cause was escalated.
        notified_at = max((each["sent_at"] for each in sent if each["kind"] in _ALARMS), default=fault.begins)
        quiet = attended - notified_at if len(fault.episodes) == 1 else timedelta(0)
        if quiet > REMINDED_AFTER + TOLERANCE:
            self._tally.not_escalated.append(f"{fault.name}: no reminder")

    def _check_messages(self) -> None:
        for incident_id, messages in self._sent.items():
            fault = self._by_name.get(self._by_id[incident_id]["message"])
            for each in messages:
                name = f"{each['kind']} of {self._by_id[incident_id]['message']}"
                if each["kind"] in _ALARMS:
                    self._tally.alarms += 1
                    if fault is None or (fault.ends_at is not None and each["sent_at"] > fault.ends_at + TOLERANCE):
                        self._tally.false_alarms.append(name)
                elif each["kind"] == "resolved" and (
                    fault is None or fault.ends_at is None or each["sent_at"] < fault.ends_at
                ):
                    self._tally.false_resolved.append(name)
        for each, _ in self._summaries:
            if each["alert"] == "hourly_summary":
                rows = [row for row in each["notice"]["paragraphs"] if row.startswith(("P0", "P1", "P2"))]
                self._tally.alarms += len(rows)
                self._tally.false_alarms += [row for row in rows if "of-the-script" not in row]


def prove(folder: Path, seed: int) -> list[Result]:
    """Simulate 200 days."""
    return simulate(folder, seed, DAYS // PARTS, PARTS)


def simulate(folder: Path, seed: int, days: int, parts: int) -> list[Result]:
    """Simulate `parts` times `days` days, in parallel."""
    tally = _Tally()
    if parts == 1:
        tally = _run(folder / "0", seed, days)
    else:
        with multiprocessing.get_context("spawn").Pool(parts) as pool:
            arguments = [(folder / str(part), seed + part, days) for part in range(parts)]
            for each in pool.starmap(_run, arguments):
                tally.add(each)
    _explain(tally)
    precision = 1 - (len(tally.false_alarms) + len(tally.false_resolved)) / max(tally.alarms, 1)
    part = f"alerts, {parts * days} days: "
    return [
        Result(part + "faults", tally.faults, "faults"),
        Result(part + "faults without a notification", len(tally.not_notified), "faults", Goal(most=0)),
        Result(part + "longest time to the message of a P0", tally.longest_p0, "s", Goal(most=P0_SECONDS)),
        Result(part + "nights and episodes of the faults", tally.nights, "episodes"),
        Result(part + "faults with a night without a notification", len(tally.missing_nights), "faults", Goal(most=0)),
        Result(part + "incidents with a wrong end", len(tally.wrong_ends), "incidents", Goal(most=0)),
        Result(part + "P0 without escalation or reminder", len(tally.not_escalated), "incidents", Goal(most=0)),
        Result(part + "alarms", tally.alarms, "alarms"),
        Result(part + "precision", 100 * precision, "%", Goal(least=99)),
        Result(part + 'false "resolved"', len(tally.false_resolved), "messages", Goal(most=0)),
    ]


def _run(folder: Path, seed: int, days: int) -> _Tally:
    folder.mkdir()
    return _Days(folder, Script(START, days, seed), days).run()


def _explain(tally: _Tally) -> None:
    """Print the wrong results for debugging."""
    sys.stderr.writelines(
        f"{name}: {each}\n"
        for name in ("not_notified", "missing_nights", "wrong_ends", "not_escalated", "false_alarms", "false_resolved")
        for each in getattr(tally, name)
    )
