"""What monitoring costs, and sends, while every request meets a dead Redis."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.load import ask_each
from bench.questions import new_questions
from bench.results import Goal, Result
from bench.servers import Server, monitored_by, recommender, surroundings
from testkit.fake_server import FakeServer

PER_SECOND = 300
SLICE_SECONDS = 5
# A minute, and long enough to see what is sent at the end of a window.
SLICES = 15
WINDOW_SECONDS = 60.0
# An event that is due at the end of a window is sent a little after it, and the next one perhaps less so.
JITTER_SECONDS = 1.0


def measure(folder: Path) -> list[Result]:
    """Ask a server with monitoring and one without it 300 times a second each, by turns.

    What a request costs on a shared machine wanders by half from one second to the next, and so does for both. A
    disturbance that hits only one of them is left out by the median of the slices.
    """
    receiver = FakeServer()
    receiver.start()
    questions = new_questions()
    try:
        with (
            surroundings(folder) as around,
            recommender(around, "off", {}) as bare,
            recommender(around, "on", monitored_by(receiver, folder)) as monitored,
        ):
            around.redis.kill()
            ratios = [
                _slice(monitored, bare, list(islice(questions, PER_SECOND * SLICE_SECONDS))) for _ in range(SLICES)
            ]
            # Before the service ends: it then sends what it has counted of a window that is not over.
            sent_at = _sent_at(receiver)
            reports = _reports(monitored)
        # The monitored service has ended, so it has sent what it had counted.
    finally:
        receiver.stop()
    counted = sum(_occurrences(event) for event in receiver.events)
    part = "monitoring-storm: "
    return [
        Result(part + "CPU, on / off", statistics.median(ratios), "×", Goal(most=1.1)),
        Result(part + "reports made", reports, ""),
        Result(part + "reports less the occurrences in events", reports - counted, "", Goal(most=0, least=0)),
        Result(part + "events of one fingerprint, in all", max(map(len, sent_at.values())), ""),
        Result(
            part + "most events of one fingerprint in a window",
            max(map(most_in_a_window, sent_at.values())),
            "",
            Goal(most=1),
        ),
    ]


def _slice(monitored: Server, bare: Server, paths: Sequence[str]) -> float:
    """Return the ratio of what both use for the same questions."""
    before = monitored.cpu(), bare.cpu()
    ask_each([monitored.port, bare.port], paths, per_second=PER_SECOND)
    return (monitored.cpu() - before[0]) / (bare.cpu() - before[1])


def most_in_a_window(times: Sequence[float]) -> int:
    """Return the most of ascending times (s) that lie in one of the windows which begin with the first."""
    windows = Counter((at - times[0] + JITTER_SECONDS) // WINDOW_SECONDS for at in times)
    return max(windows.values())


def _sent_at(receiver: FakeServer) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for event, at in zip(receiver.events, receiver.arrivals, strict=True):
        found["/".join(event["fingerprint"])].append(at)
    return found


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
