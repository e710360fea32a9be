"""The cost and the events of monitoring while Redis is dead and requests keep coming."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.load import ask_each
from bench.queries import new_queries
from bench.results import Goal, Result
from bench.servers import Server, monitored_by, recommender, surroundings
from testkit.fake_server import FakeServer

PER_SECOND = 300
SLICE_SECONDS = 5
# More than a minute, so that the events at the end of a window are included.
SLICES = 15
WINDOW_SECONDS = 60.0
# An event that is due at the end of a window is sent a little later, and the next one perhaps with less delay.
JITTER_SECONDS = 1.0


def measure(folder: Path) -> list[Result]:
    """Send 300 requests a second each to a server with monitoring and to one without, by turns.

    The cost of a request on a shared machine varies by half from one second to the next, for both servers. The median
    of the slices leaves out a disturbance of only one server.
    """
    receiver = FakeServer()
    receiver.start()
    paths = new_queries()
    try:
        with (
            surroundings(folder) as around,
            recommender(around, "off", {}) as bare,
            recommender(around, "on", monitored_by(receiver, folder)) as monitored,
        ):
            around.redis.kill()
            ratios = [_slice(monitored, bare, list(islice(paths, PER_SECOND * SLICE_SECONDS))) for _ in range(SLICES)]
            # Before the service ends, because it then sends the counts of a window that is still open.
            sent_at = _sent_at(receiver)
            counted_by_service = _counts(monitored)
        # The monitored service has ended, so it has sent its counts.
    finally:
        receiver.stop()
    reports = counted_by_service["monitoring_reports_total"]
    degraded = counted_by_service["recommender_requests_total"]
    counted = sum(_occurrences(event) for event in receiver.events)
    recorded = {each["request_id"] for batch in receiver.request_batches for each in batch["requests"]}
    part = "monitoring-storm: "
    return [
        Result(part + "CPU, monitoring on / off", statistics.median(ratios), "×", Goal(most=1.1)),
        Result(part + "reports made", reports, ""),
        Result(part + "reports minus occurrences in events", reports - counted, "", Goal(most=0, least=0)),
        Result(
            part + "degraded requests that are not in the index",
            degraded - len(recorded),
            "",
            Goal(most=0, least=0),
        ),
        Result(part + "most events of one fingerprint, in total", max(map(len, sent_at.values())), ""),
        Result(
            part + "most events of one fingerprint, per window",
            max(map(most_in_a_window, sent_at.values())),
            "",
            Goal(most=1),
        ),
    ]


def _slice(monitored: Server, bare: Server, paths: Sequence[str]) -> float:
    """Return the ratio of the CPU of both servers for the same requests."""
    before = monitored.cpu(), bare.cpu()
    ask_each([monitored.port, bare.port], paths, per_second=PER_SECOND)
    return (monitored.cpu() - before[0]) / (bare.cpu() - before[1])


def most_in_a_window(times: Sequence[float]) -> int:
    """Return the maximum number of the ascending times (s) in one window; the windows begin with the first time."""
    windows = Counter((at - times[0] + JITTER_SECONDS) // WINDOW_SECONDS for at in times)
    return max(windows.values())


def _sent_at(receiver: FakeServer) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for event, at in zip(receiver.events, receiver.arrivals, strict=True):
        found["/".join(event["fingerprint"])].append(at)
    return found


def _counts(server: Server) -> Counter[str]:
    """Return the server's counters, without the answers of the main path."""
    text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", timeout=5).text
    counts: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("level") != "0":
                counts[sample.name] += int(sample.value)
    return counts


def _occurrences(event: dict[str, Any]) -> int:
    component = event["tags"]["monitoring_point"].partition(".")[0]
    occurrences: int = event["contexts"][component]["occurrences"]
    return occurrences
