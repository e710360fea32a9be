"""What monitoring costs, and sends, while every request meets a dead Redis."""

import math
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.load import ask_all
from bench.questions import new_questions
from bench.results import Goal, Result
from bench.servers import Server, monitored_by, recommender, surroundings
from testkit.stand_in import StandIn

PER_SECOND = 300
SLICE_SECONDS = 5
SLICES = 12
WINDOW_SECONDS = 60
# A window's first report goes at once, its repeats go together at its end.
EVENTS_OF_A_WINDOW = 2


def measure(folder: Path) -> list[Result]:
    """Ask 300 times a second for 60 s, in slices that alternate between monitoring on and off."""
    receiver = StandIn()
    receiver.start()
    questions = new_questions()
    used = {"on": 0.0, "off": 0.0}
    try:
        with (
            surroundings(folder) as around,
            recommender(around, "off", {}) as bare,
            recommender(around, "on", monitored_by(receiver, folder)) as monitored,
        ):
            around.redis.kill()
            begin = time.monotonic()
            for _ in range(SLICES):
                for name, server in (("on", monitored), ("off", bare)):
                    before = server.cpu()
                    ask_all(server.port, list(islice(questions, PER_SECOND * SLICE_SECONDS)), per_second=PER_SECOND)
                    used[name] += server.cpu() - before
            windows = math.ceil((time.monotonic() - begin) / WINDOW_SECONDS)
            reports = _reports(monitored)
        # The monitored service has ended, so it has sent what it had counted.
    finally:
        receiver.stop()
    events = Counter("/".join(event["fingerprint"]) for event in receiver.events)
    counted = sum(_occurrences(event) for event in receiver.events)
    part = "monitoring-storm: "
    return [
        Result(part + "CPU, on / off", used["on"] / used["off"], "×", Goal(most=1.1)),
        Result(part + "reports made", reports, ""),
        Result(part + "reports less the occurrences in events", reports - counted, "", Goal(most=0, least=0)),
        Result(part + "60 s windows", windows, ""),
        Result(
            part + "most events of one fingerprint in a window",
            max(events.values()) / windows,
            "",
            Goal(most=EVENTS_OF_A_WINDOW),
        ),
    ]


def _reports(server: Server) -> float:
    text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", timeout=5).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "monitoring_reports_total"
    )


def _occurrences(event: dict[str, Any]) -> int:
    component = event["tags"]["monitoring_point"].partition(".")[0]
    occurrences: int = event["contexts"][component]["occurrences"]
    return occurrences
