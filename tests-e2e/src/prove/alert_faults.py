"""Scripted faults of every monitoring point over many days, the true course of each, and the noise of a healthy stack.

Everything is drawn with a seed. Each signal's message contains the name of its fault, so that the fault is found in the
messages.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from contracts.signals import AlertSignal
from monitoring import catalogue
from monitoring.catalogue import EXCEPTION_PART, Point, open_part

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# A lasting fault is reported once a minute at first.
_EAGER, _STEADY = 5, timedelta(minutes=10)
_A_DAY = 0.35
_STORM_EVERY, _STORM_SIZE = 10, 60
ENVIRONMENT = "production"
SERVICES = {
    "redis": "recommender-api",
    "fallback": "recommender-api",
    "api": "recommender-api",
    "model": "model-registry",
}

End = Literal["recovered", "quiet", "closed", "false_alarm", "abandoned"]


@dataclass(frozen=True, order=True)
class Event:
    """Something that happens: a signal arrives, or a person acts on the incident of a fault."""

    at: datetime
    order: int
    signal: AlertSignal | None = field(default=None, compare=False)
    person: Literal["acknowledge", "close", "false_alarm"] | None = field(default=None, compare=False)
    fault: "Fault | None" = field(default=None, compare=False)


@dataclass
class Fault:
    """What breaks, when it starts again, and how and when it ends (None: it is open at the end of the days)."""

    name: str
    point: str
    begins: datetime
    episodes: list[str]
    ends_at: datetime | None
    resolution: End
    acknowledged_at: datetime | None = None


class Script:
    """All events in `days` days from `start`."""

    def __init__(self, start: datetime, days: int, seed: int) -> None:
        self._dice = random.Random(seed)
        self._end = start + days * DAY
        self._number = 0
        self._free: dict[tuple[str, ...], datetime] = {}
        self.faults: list[Fault] = []
        self.events: list[Event] = []
        for day in range(days):
            morning = start + day * DAY
            for point in catalogue.load_all():
                # Information and noise notify no one.
                if point.level != "info" and self._dice.random() < _A_DAY:
                    self._add_fault(point, morning)
            if day % _STORM_EVERY == _STORM_EVERY - 1:
                self._add_storm(morning)
            self._add_alert(morning)
            self._add_sentry_issue(morning)
            self._add_noise(morning)
        self.events.sort()

    def _add_fault(self, point: Point, morning: datetime) -> None:
        at = morning + timedelta(seconds=self._dice.randrange(86_000))
        name = self._name(point.id)
        token = name if point.open_parts != (EXCEPTION_PART,) else "fixed"
        fingerprint = tuple(_fill_part(part, token) for part in point.fingerprint)
        identity = (point.id,) if token == "fixed" or not point.open_parts else fingerprint
        if self._free.get(identity, at) > at:
            return
        values = _values(point, fingerprint)
        if point.ends == "by_quiet":
            fault = self._quiet(name, point, at, values)
        else:
            fault = self._until_it_works(name, point, at, values, stays=identity == fingerprint)
        self._free[identity] = (fault.ends_at or self._end) + 2 * HOUR
        self.faults.append(fault)

    def _quiet(self, name: str, point: Point, at: datetime, values: dict[str, Any]) -> Fault:
        last = at
        for number in range(self._dice.randint(1, 20)):
            last = at + number * MINUTE
            self._fire(last, name, values)
        return Fault(name, point.id, at, [""], last + 15 * MINUTE, "quiet")

    def _until_it_works(self, name: str, point: Point, at: datetime, values: dict[str, Any], *, stays: bool) -> Fault:
        kind = self._dice.random()
        episode = _episode_tag(point)
        if kind < 0.2 and episode:
            return self._nights(name, point, at, values, episode)
        if kind < 0.35 and stays:
            return self._by_a_person(name, point, at, values)
        if kind < 0.37 and stays:
            self._fire(at, name, values)
            fault = Fault(name, point.id, at, [""], at + 30 * DAY, "abandoned", at + 5 * MINUTE)
            self._do(at + 5 * MINUTE, "acknowledge", fault)
            return fault
        lasts = self._dice.randint(2, 300) * MINUTE
        for moment in _while(at, at + lasts):
            self._fire(moment, name, values)
        if self._dice.random() < 0.2:
            # It flaps: its recovery must not be notified.
            self._fire(at + lasts, name, values, kind="recovered")
            lasts += timedelta(seconds=15)
            self._fire(at + lasts, name, values)
            lasts += MINUTE
        # Any service may report it, except for points that only one service reports.
        others = ["airflow", None] if point.component != "api" else [None]
        self._fire(at + lasts, name, values, kind="recovered", service=self._dice.choice(others))
        return Fault(name, point.id, at, [""], at + lasts, "recovered")

    def _nights(self, name: str, point: Point, at: datetime, values: dict[str, Any], episode: str) -> Fault:
        nights = self._dice.randint(2, 5)
        runs = [f"{name}-night-{number}" for number in range(nights)]
        for number, run in enumerate(runs):
            self._fire(at + number * DAY, name, values, tags={episode: run})
        ends_at = at + nights * DAY
        self._fire(ends_at, name, values, kind="recovered")
        fault = Fault(name, point.id, at, runs, ends_at, "recovered")
        if self._dice.random() < 0.5:
            fault.acknowledged_at = at + self._dice.randint(1, 600) * MINUTE
            self._do(fault.acknowledged_at, "acknowledge", fault)
        return fault

    def _by_a_person(self, name: str, point: Point, at: datetime, values: dict[str, Any]) -> Fault:
        self._fire(at, name, values)
        ends_at = at + self._dice.randint(5, 600) * MINUTE
        false_alarm = self._dice.random() < 0.3
        fault = Fault(name, point.id, at, [""], ends_at, "false_alarm" if false_alarm else "closed")
        self._do(ends_at, "false_alarm" if false_alarm else "close", fault)
        return fault

    def _add_storm(self, morning: datetime) -> None:
        at = morning + timedelta(hours=self._dice.randrange(24))
        task_failed = catalogue.load_all().by_id()["airflow.task_failed"]
        for _ in range(_STORM_SIZE):
            name = self._name("storm")
            values = _values(task_failed, ("airflow", "backfill", name))
            self._fire(at, name, values)
            self._fire(at + HOUR, name, values, kind="recovered")
            self.faults.append(Fault(name, "airflow.task_failed", at, [""], at + HOUR, "recovered"))

    def _add_alert(self, morning: datetime) -> None:
        """Two episodes of an alert; the end of the first is lost."""
        at, name = morning + timedelta(hours=self._dice.randrange(20)), self._name("alert")
        values = _foreign_values("alertmanager.alert", ("alertmanager", "DiskFull", name), "node")
        starts = [(at + number * HOUR).isoformat() for number in range(2)]
        for number, start in enumerate(starts):
            for again in range(3):
                self._fire(at + number * HOUR + again * 10 * MINUTE, name, values, tags={"starts_at": start})
        ends_at = at + 2 * HOUR
        self._fire(ends_at, name, values, kind="recovered", tags={"starts_at": starts[-1]})
        self.faults.append(Fault(name, "alertmanager.alert", at, ["", ""], ends_at, "recovered"))

    def _add_sentry_issue(self, morning: datetime) -> None:
        at, name = morning + timedelta(hours=self._dice.randrange(20)), self._name("issue")
        values = _foreign_values("sentry.alert", ("sentry", "issue", name), "shop")
        self._fire(at, name, values)
        ends_at = at + self._dice.randint(60, 2000) * MINUTE
        self._fire(ends_at, name, values, kind="recovered")
        self.faults.append(Fault(name, "sentry.alert", at, [""], ends_at, "recovered"))

    def _add_noise(self, morning: datetime) -> None:
        """The signals of a healthy day: short faults with a recovery, successes without a fault, and `make verify`."""
        blip = catalogue.load_all().by_id()["fallback.precomputed_used"]
        for hour in range(24):
            at = morning + hour * HOUR + timedelta(seconds=self._dice.randrange(3600))
            for _ in range(self._dice.randrange(1, 5)):
                self._fire(at, "noise", _values(blip, blip.fingerprint))
            for point in self._dice.sample(list(catalogue.load_all()), 2):
                fingerprint = tuple(_fill_part(part, "healthy") for part in point.fingerprint)
                if point.open_parts and point.open_parts != (EXCEPTION_PART,):
                    self._fire(at, "noise", _values(point, fingerprint), kind="recovered")
                self._fire(at, "noise", _values(point, fingerprint), environment="verify")

    def _name(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}-of-the-script"

    def _fire(self, at: datetime, name: str, values: dict[str, Any], **more: Any) -> None:
        known = {
            "signal_id": f"{len(self.events)}",
            "kind": "fired",
            "environment": ENVIRONMENT,
            "message": name,
            "first_seen": at,
            "last_seen": at,
        }
        signal = AlertSignal.model_validate(
            known | values | {key: value for key, value in more.items() if value is not None}
        )
        self.events.append(Event(at, len(self.events), signal=signal))

    def _do(self, at: datetime, person: Literal["acknowledge", "close", "false_alarm"], fault: Fault) -> None:
        self.events.append(Event(at, len(self.events), person=person, fault=fault))


def _while(begin: datetime, end: datetime) -> Iterator[datetime]:
    moment, number = begin, 0
    while moment < end:
        yield moment
        number += 1
        moment += MINUTE if number < _EAGER else _STEADY


def _episode_tag(point: Point) -> str:
    return point.episode[0] if point.episode else ""


def _fill_part(part: str, token: str) -> str:
    name = open_part(part)
    if name is None:
        return part
    return "ValueError" if name == EXCEPTION_PART else f"{name}-{token}"


def _values(point: Point, fingerprint: tuple[str, ...]) -> dict[str, Any]:
    return {
        "monitoring_point": point.id,
        "fingerprint": list(fingerprint),
        "level": point.level,
        "category": point.category,
        "service": SERVICES.get(point.component, point.component),
    }


def _foreign_values(point_id: str, fingerprint: tuple[str, ...], service: str) -> dict[str, Any]:
    """Return the labels of an alert of Alertmanager or Sentry, which are not in the catalogue."""
    return {
        "monitoring_point": point_id,
        "fingerprint": list(fingerprint),
        "level": "error",
        "category": fingerprint[0],
        "service": service,
    }
