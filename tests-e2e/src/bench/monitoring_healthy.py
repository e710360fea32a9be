"""The cost of monitoring while there is no fault."""

import timeit
from itertools import islice
from pathlib import Path

import monitoring
from bench.queries import new_queries
from bench.results import Goal, Result
from bench.rounds import compare
from bench.servers import monitored_by, recommender, surroundings
from testkit.fake_server import FakeServer

CALLS = 20_000


def measure(folder: Path) -> list[Result]:
    """Compare ranked requests of a recommender that has a collector and a gateway with those of one without."""
    collector = FakeServer()
    collector.start()
    paths = new_queries()
    try:
        with (
            surroundings(folder) as around,
            recommender(around, "on", monitored_by(collector, folder)) as monitored,
            recommender(around, "off", {}) as bare,
        ):
            each = {name: lambda n: list(islice(paths, n)) for name in ("on", "off")}
            cost = compare({"on": monitored, "off": bare}, each)
            # A healthy path reports nothing; otherwise the measurement is not valid.
            if collector.events:
                raise RuntimeError(f"the healthy path reported {collector.events[0]['logentry']['formatted']}")
    finally:
        collector.stop()
    added = _calls_of_a_request()
    part = "monitoring-healthy: "
    return [
        Result(part + "CPU of a ranked request, monitoring off", cost["off"].cpu, "µs"),
        Result(part + "CPU, monitoring on / off", cost["on"].cpu / cost["off"].cpu, "×", Goal(most=1.02)),
        Result(part + "time of monitoring's calls in a request", added, "µs"),
        Result(
            part + "time of monitoring's calls / median latency", added / cost["off"].p50 * 100, "%", Goal(most=0.5)
        ),
        Result(part + "resident memory added", cost["on"].resident - cost["off"].resident, "MB", Goal(most=10)),
    ]


def _calls_of_a_request() -> float:
    """Return the time (µs) of monitoring's calls in a healthy request: context, and spans that are not sampled."""
    scope = {"type": "http", "method": "GET", "path": "/recommend/detail/1", "headers": []}

    def request() -> None:
        with monitoring.bound_context(request_id="req_0123456789ab"), monitoring.request_trace(scope):
            monitoring.bind_context(
                endpoint="/recommend/detail",
                dataset_id=1,
                user_id=1,
                model_version="1",
                model_variant="primary",
                experiment_variant=None,
                degrade_reason=None,
            )
            for stage in ("read", "recall", "rank"):
                with monitoring.span(stage):
                    pass

    return min(timeit.repeat(request, number=CALLS, repeat=5)) / CALLS * 1e6
