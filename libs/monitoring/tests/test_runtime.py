"""Windows close by themselves, and what a burst cannot finish goes as an outline."""

from collections.abc import Iterator

import pytest

from contracts.signals import AlertSignal
from monitoring import catalogue
from monitoring.coalescing import Coalescer
from monitoring.ended_requests.recorder import RequestRecorder
from monitoring.metrics import Counters
from monitoring.outbox.outbox import Outbox
from monitoring.redaction import Redactor
from monitoring.runtime import Runtime
from monitoring.signals import LocalSink, SignalPath
from monitoring.store import MemoryStore


class Bench:
    def __init__(self, window: float) -> None:
        self.taken: list[AlertSignal] = []
        counters = Counters()
        self.outbox = Outbox("signals", MemoryStore(), LocalSink(self.taken.extend).deliver, counters)
        self.runtime = Runtime(
            "tested",
            catalogue.load_core(),
            coalescer=Coalescer(window=window),
            redactor=Redactor(),
            counters=counters,
            collector=None,
            signals=SignalPath(self.outbox, "tested", "test"),
            requests=RequestRecorder(None, counters, share=0.0),
        )
        self.runtime.start()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(window=0.2)
    yield made
    made.runtime.close(1)


def test_a_window_closes_without_another_report(bench: Bench, until) -> None:
    for _ in range(5):
        bench.runtime.report("fallback.redis_failed", None, {"endpoint": "/similar"})
    until(lambda: len(bench.taken) == 2)
    assert [signal.occurrences for signal in bench.taken] == [1, 4]
    assert bench.taken[1].last_seen >= bench.taken[1].first_seen >= bench.taken[0].first_seen


def test_windows_of_many_points_close_in_turn(bench: Bench, until) -> None:
    for point in catalogue.load_core():
        for _ in range(3):
            bench.runtime.report(point.id, None, dict.fromkeys(point.open_parts, "x"))
    until(lambda: sum(signal.occurrences for signal in bench.taken) == 3 * 24)
    assert len(bench.taken) == 2 * 24
