"""The promised alert quality over a simulated day: 30 faults among realistic noise, a WeChat and a mail server.

The results of each day are stored below .run/alert-quality.
"""

import json
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy
from pathlib import Path
from typing import Any

import pytest

from contracts.signals import AlertSignal
from notification_gateway.tables import digests
from running_gateway import SIMULATED, MailServer, SteppedGateway, Watch, Wechat, app_of, mail_to, settings, signal
from wechat_simulator.server import SimulatorServer

STEP = timedelta(seconds=20)
# Where nothing happens, time passes faster: a multiple of STEP, and still well below what any rule waits for.
IDLE = 6 * STEP
BUSY = timedelta(minutes=3)
SEEDS = (2, 3)
QUALITY = Path(__file__).parents[2] / ".run" / "alert-quality"
Timed = tuple[timedelta, AlertSignal]
START = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Fault:
    """A fault with its start and length; it is reported every minute while it lasts, as coalescing does."""

    name: str
    priority: str
    at: timedelta
    lasts: timedelta
    signal: dict[str, Any]

    def signals(self) -> Iterator[Timed]:
        fields = dict(self.signal)
        fingerprint = tuple(fields.pop("fingerprint"))
        moment, end = self.at, self.at + self.lasts
        while moment < end:
            yield moment, signal(fingerprint, START + moment, message=self.name, **fields)
            moment += timedelta(minutes=1)
        yield end, signal(fingerprint, START + end, kind="recovered", **fields)


def faults(dice: random.Random) -> list[Fault]:
    """Return ten faults of each priority, spread over the day, no two of one fingerprint."""
    kinds: dict[str, list[Callable[[int], dict[str, Any]]]] = {
        "P0": [
            lambda n: {"fingerprint": ["airflow", "daily", f"task_{n}"], "service": "airflow"},
            lambda n: {"fingerprint": ["model", "deployment_failed"], "service": f"model-registry-{n}"},
            lambda n: {
                "fingerprint": ["database", "business", f"query_{n}", "OperationalError"],
                "service": "pipeline",
            },
        ],
        "P1": [
            lambda n: {"fingerprint": ["redis", "connection_failed"], "level": "warning", "service": f"api-{n}"},
            lambda n: {"fingerprint": ["api", f"/endpoint_{n}", "ValueError"], "service": "recommender-api"},
            lambda n: {"fingerprint": ["feature_store", f"sync_{n}", "TimeoutError"], "service": "feature-sync"},
        ],
        "P2": [
            lambda n: {"fingerprint": ["pipeline", f"step_{n}", "KeyError"], "level": "warning", "service": "pipeline"},
            lambda n: {"fingerprint": ["data_quality", f"check_{n}"], "level": "warning", "service": "pipeline"},
        ],
    }
    made = []
    for priority, makers in kinds.items():
        for number in range(10):
            at = timedelta(seconds=dice.randrange(0, 23 * 3600))
            lasts = timedelta(minutes=dice.choice([1, 2, 5, 12, 30]))
            fields = makers[number % len(makers)](number)
            made.append(Fault(f"fault-{priority}-{number}-of-the-day", priority, at, lasts, fields))
    return made


def noise(dice: random.Random) -> Iterator[Timed]:
    """Yield the reports of a healthy day: short faults that the fallback chain absorbs.

    404s, disconnects of clients and slow requests within the budget are no reports, so they make no signals at all.
    """
    for hour in range(24):
        for _ in range(dice.randrange(2, 6)):
            at = timedelta(hours=hour, seconds=dice.randrange(3600))
            point = dice.choice(["precomputed_used", "redis_failed", "static_popular_used"])
            level = "info" if point == "precomputed_used" else "warning"
            yield (
                at,
                signal(
                    ("fallback", point), START + at, level=level, service="recommender-api", message="noise: a blip"
                ),
            )
        if dice.random() < 0.5:
            at = timedelta(hours=hour, seconds=dice.randrange(3600))
            yield at, signal(("api", "slow"), START + at, level="info", category="api", message="noise: a slow request")


class Day:
    """A day of the gateway, and the messages that reached people."""

    def __init__(self, stepped: SteppedGateway, wechat: Wechat, scripted: list[Fault], noisy: list[Timed]) -> None:
        self.stepped = stepped
        self.wechat = wechat
        self.scripted = scripted
        self.coming = deque(
            sorted([*noisy, *(each for fault in scripted for each in fault.signals())], key=lambda each: each[0])
        )
        self.notified: dict[str, datetime] = {}
        self._known = 0

    def run(self) -> None:
        passed = busy = timedelta(0)
        # The summaries of the last hour and the last day come after the day.
        while passed < timedelta(hours=49):
            idle = passed - busy > BUSY and not (self.coming and self.coming[0][0] < passed + IDLE)
            passed += IDLE if idle else STEP
            due = []
            while self.coming and self.coming[0][0] < passed:
                due.append(self.coming.popleft()[1])
            self.stepped.watch.now = START + passed
            if due:
                busy = passed
                self.stepped.fire(*due)
            self.stepped.pass_time()
            if self.stepped.deliver():
                self._read_messages()

    def _read_messages(self) -> None:
        contents = self.wechat.contents
        for content in contents[self._known :]:
            for fault in self.scripted:
                if fault.name in content:
                    self.notified.setdefault(fault.name, self.stepped.watch.now)
        self._known = len(contents)


def text_of(mail: str) -> str:
    body = message_from_string(mail, policy=policy.default).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def summary_of(fault: Fault, summaries: list[dict[str, Any]]) -> str:
    """Return the summary of the period in which a fault's first signal came."""
    came = START + -(-fault.at // STEP) * STEP
    (mine,) = [row for row in summaries if row["period_start"] <= came < row["period_end"]]
    return json.dumps(mine["notice"], ensure_ascii=False)


@pytest.fixture(scope="module", params=SEEDS)
def day(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Day, list[str]]]:
    dice, watch = random.Random(request.param), Watch(START)
    with SimulatorServer.on_free_port(SIMULATED, clock=watch) as server, MailServer() as mail:
        database = f"sqlite:///{tmp_path_factory.mktemp('day')}/recsys.db"
        stepped = SteppedGateway(settings(database, **app_of(server.url), **mail_to(mail.port)), watch)
        wechat = Wechat(server.url)
        day = Day(stepped, wechat, faults(dice), list(noise(dice)))
        day.run()
        yield day, [text_of(each) for each in mail.mails]
        wechat.close()
        stepped.close()


def longest_wait(day: Day) -> timedelta:
    urgent = [fault for fault in day.scripted if fault.priority == "P0"]
    assert len(urgent) == 10
    assert {fault.name for fault in urgent} <= day.notified.keys()
    return max(day.notified[fault.name] - (START + fault.at) for fault in urgent)


@pytest.mark.timeout(400)
def test_every_p0_is_notified_within_a_minute(day: tuple[Day, list[str]]) -> None:
    assert longest_wait(day[0]) <= timedelta(seconds=60)


@pytest.mark.timeout(400)
def test_every_p1_is_in_the_next_email_and_every_p2_in_the_next_digest(day: tuple[Day, list[str]]) -> None:
    made = day[0].stepped.rows(digests)
    hourly = [row for row in made if row["alert"] == "hourly_summary"]
    daily = [row for row in made if row["alert"] == "daily_digest"]
    for fault in day[0].scripted:
        if fault.priority == "P1":
            assert fault.name in summary_of(fault, hourly)
            assert any(fault.name in mail for mail in day[1])
        if fault.priority == "P2":
            assert fault.name in summary_of(fault, daily)


@pytest.mark.timeout(400)
def test_fewer_than_one_alarm_in_twenty_is_false(day: tuple[Day, list[str]], request: pytest.FixtureRequest) -> None:
    alarms = [content for content in day[0].wechat.contents if "恢复" not in content.splitlines()[0]]
    alarms += [row for mail in day[1] for row in mail.splitlines() if row.startswith(("P0 ·", "P1 ·", "P2 ·"))]
    false = [each for each in alarms if "of-the-day" not in each]
    seed = request.node.callspec.params["day"]
    # A digest waits to be read: what it says of blips is no alarm, and is noted all the same.
    made = [row for row in day[0].stepped.rows(digests) if row["alert"] == "daily_digest"]
    listed = [row for each in made for row in each["notice"]["paragraphs"]]
    quality = {
        "seed": seed,
        "alarms": len(alarms),
        "false_alarms": len(false),
        "false_alarm_rate": len(false) / len(alarms),
        "digest_rows": len(listed),
        "digest_rows_of_noise": sum("of-the-day" not in row for row in listed),
        "longest_p0_seconds": longest_wait(day[0]).total_seconds(),
    }
    QUALITY.mkdir(parents=True, exist_ok=True)
    (QUALITY / f"day-{seed}.json").write_text(json.dumps(quality, indent=2) + "\n", encoding="utf-8")
    assert len(alarms) >= 20
    assert len(false) / len(alarms) < 0.05
