"""The outbox keeps what cannot be delivered, within its bounds, and counts what it must drop."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from monitoring.metrics import Counters
from monitoring.outbox.outbox import Outbox
from monitoring.outbox.outcomes import Delivered, Failed, Outcome, Rejected, Unavailable
from monitoring.signals import LocalSink
from monitoring.store import MemoryStore


class Receiver:
    """Takes payloads or answers with `outcome`; it never accepts the payload `rejects`."""

    def __init__(self) -> None:
        self.outcome: Outcome = Delivered()
        self.rejects = b"never"
        self.taken: list[bytes] = []
        self.batches: list[int] = []
        self.called = threading.Event()

    def __call__(self, payloads: Sequence[bytes], /) -> Outcome:
        self.batches.append(len(payloads))
        self.called.set()
        if self.rejects in payloads:
            return Rejected("no")
        if isinstance(self.outcome, Delivered):
            self.taken += payloads
        return self.outcome


class FailingStore(MemoryStore):
    """A disk that is full."""

    durable = True

    def write(self, name: str, payload: bytes) -> None:
        raise OSError(28, "no space left")


class Bench:
    def __init__(self, *, store: MemoryStore | None = None, **bounds: float) -> None:
        self.receiver = Receiver()
        self.counters = Counters()
        self.time = 1_000_000.0
        self.dropped = 0
        self.outbox = Outbox(
            "events", store or MemoryStore(), self.receiver, self.counters, now=lambda: self.time, **bounds
        )

    def start(self) -> None:
        self.outbox.start(self._on_dropped)

    def _on_dropped(self) -> None:
        self.dropped += 1


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(batch=3)
    yield made
    made.outbox.close(0)


def test_payloads_are_delivered_in_order_and_in_batches(bench: Bench) -> None:
    for number in range(7):
        bench.outbox.put(f"k{number}", b"%d" % number)
    bench.start()
    assert bench.outbox.flush(5)
    assert bench.receiver.taken == [b"%d" % number for number in range(7)]
    assert bench.receiver.batches == [3, 3, 1]
    assert bench.counters.events_delivered == 7
    assert bench.outbox.waiting() == 0


def test_what_is_written_ahead_waits_for_its_commit_or_its_replacement(bench: Bench) -> None:
    bench.start()
    bench.outbox.write_ahead("a", b"outline a")
    bench.outbox.write_ahead("b", b"outline b")
    assert bench.outbox.flush(0.05)
    assert bench.receiver.taken == []
    bench.outbox.put("a", b"whole a")
    bench.outbox.commit("a")
    bench.outbox.commit("b")
    assert bench.outbox.flush(5)
    assert bench.receiver.taken == [b"whole a", b"outline b"]
    assert bench.outbox.waiting() == 0


def test_what_is_written_ahead_and_discarded_is_never_sent(bench: Bench) -> None:
    bench.start()
    bench.outbox.write_ahead("a", b"outline a")
    bench.outbox.discard("a")
    bench.outbox.discard("a")
    bench.outbox.commit("a")
    assert bench.outbox.flush(5)
    assert bench.receiver.taken == []
    assert bench.outbox.waiting() == 0


def test_one_rejected_payload_does_not_take_its_batch_with_it(bench: Bench) -> None:
    for payload in (b"0", b"never", b"2"):
        bench.outbox.put(payload.decode(), payload)
    bench.start()
    assert bench.outbox.flush(5)
    assert bench.receiver.taken == [b"0", b"2"]
    assert (bench.counters.events_delivered, bench.counters.events_rejected) == (2, 1)


def test_payloads_that_are_rejected_are_found_by_halving() -> None:
    bench = Bench(batch=64)
    for number in range(64):
        bench.outbox.put(f"k{number}", b"never" if number == 40 else b"%d" % number)
    bench.start()
    assert bench.outbox.flush(5)
    assert (bench.counters.events_delivered, bench.counters.events_rejected) == (63, 1)
    assert len(bench.receiver.batches) == 1 + 2 * 6
    bench.outbox.close(0)


def test_a_receiver_that_goes_away_while_its_refusal_is_looked_for_is_left_alone_until_the_next_try() -> None:
    bench = Bench(batch=8)
    answers: list[Outcome] = [Rejected("no"), Unavailable("down")]
    asked: list[int] = []

    def deliver(payloads: Sequence[bytes], /) -> Outcome:
        asked.append(len(payloads))
        return answers.pop(0) if answers else Delivered()

    outbox = Outbox("events", MemoryStore(), deliver, bench.counters, batch=8)
    for number in range(8):
        outbox.put(f"k{number}", b"x")
    outbox.start()
    assert outbox.flush(5)
    assert asked == [8, 4, 8]
    assert bench.counters.events_delivered == 8
    outbox.close(0)


def test_what_a_receiver_rejects_of_a_batch_is_counted_logged_and_not_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(batch=3)
    bench.receiver.outcome = Delivered({1: "level: unknown"})
    for number in range(3):
        bench.outbox.put(f"k{number}", b"%d" % number)
    bench.start()
    assert bench.outbox.flush(5)
    assert bench.receiver.batches == [3]
    assert (bench.counters.events_delivered, bench.counters.events_rejected) == (2, 1)
    assert "k1 of the events was rejected for good: level: unknown" in caplog.text
    bench.outbox.close(0)


def test_a_receiver_that_raises_is_asked_again(bench: Bench, until) -> None:
    def fail(payloads: Sequence[bytes], /) -> Outcome:
        if not bench.receiver.called.is_set():
            bench.receiver.called.set()
            raise RuntimeError("a bug")
        return bench.receiver(payloads)

    outbox = Outbox("events", MemoryStore(), fail, bench.counters)
    outbox.put("a", b"a")
    outbox.start()
    assert outbox.flush(5)
    assert bench.receiver.taken == [b"a"]
    assert bench.counters.events_resent == 1
    outbox.close(0)


def test_past_its_size_the_oldest_are_dropped_counted_and_reported() -> None:
    bench = Bench(max_bytes=1000)
    bench.receiver.outcome = Unavailable("down")
    bench.start()
    for number in range(25):
        bench.time += 1
        bench.outbox.put(f"k{number}", b"%03d" % number + b"x" * 97)
    assert bench.outbox.waiting() in (10, 11)
    bench.receiver.outcome = Delivered()
    assert bench.outbox.flush(5)
    # The very first may have been on its way while the others pushed.
    delivered = [int(payload[:3]) for payload in bench.receiver.taken if not payload.startswith(b"000")]
    assert delivered == list(range(25 - len(delivered), 25))
    assert bench.counters.events_dropped + bench.counters.events_delivered == 25
    assert bench.dropped >= 1
    bench.outbox.close(0)


def test_what_is_too_old_is_dropped_and_counted() -> None:
    bench = Bench(max_age=3600.0)
    bench.outbox.put("old", b"old")
    bench.time += 3601
    bench.outbox.put("new", b"new")
    bench.start()
    assert bench.outbox.flush(5)
    assert bench.receiver.taken == [b"new"]
    assert bench.counters.events_dropped == 1
    bench.outbox.close(0)


def test_a_full_disk_does_not_stop_the_delivery(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(store=FailingStore())
    bench.outbox.put("a", b"a")
    bench.start()
    assert bench.outbox.flush(5)
    assert bench.receiver.taken == [b"a"]
    assert "events cannot be spooled" in caplog.text
    bench.outbox.close(0)


def test_what_is_lost_at_the_end_without_a_spool_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.receiver.outcome = Unavailable("down")
    bench.start()
    for number in range(3):
        bench.outbox.put(str(number), b"x")
    bench.outbox.close(0.05)
    assert bench.counters.events_dropped == 3
    assert "3 events were not delivered and are lost" in caplog.text


@pytest.mark.parametrize("batch", [1, 8])
def test_a_payload_that_the_other_side_breaks_over_stops_no_other_and_is_given_up(batch: int, until) -> None:
    taken: list[bytes] = []

    def receive(payloads: Sequence[bytes], /) -> Outcome:
        if b"poison" in payloads:
            return Failed("HTTP 500")
        taken.extend(payloads)
        return Delivered()

    counters = Counters()
    outbox = Outbox("events", MemoryStore(), receive, counters, batch=batch)
    for number in range(5):
        outbox.put(f"a{number}", b"a%d" % number)
    outbox.put("poison", b"poison")
    for number in range(5):
        outbox.put(f"b{number}", b"b%d" % number)
    outbox.start()
    # Each flush tries again at once.
    until(lambda: outbox.flush(0.05) or len(taken) == 10)
    for number in range(4):
        # Traffic goes on: others are accepted, so this payload is at fault.
        outbox.put(f"c{number}", b"c")
        until(lambda number=number: outbox.flush(0.05) or len(taken) == 11 + number)
    until(lambda: outbox.flush(0.05) or counters.events_rejected == 1)
    assert outbox.waiting() == 0
    outbox.close(0)


def test_while_the_other_side_breaks_over_everything_nothing_is_given_up(until) -> None:
    tries: list[int] = []
    broken = [True]

    def receive(payloads: Sequence[bytes], /) -> Outcome:
        tries.append(len(payloads))
        return Failed("HTTP 500") if broken[0] else Delivered()

    counters = Counters()
    outbox = Outbox("signals", MemoryStore(), receive, counters, batch=100)
    for number in range(100):
        outbox.put(f"k{number:03}", b"x")
    outbox.start()
    for _ in range(5):
        before = len(tries)
        outbox.flush(0.2)
        until(lambda before=before: len(tries) > before)
    assert max(tries) == 100
    assert len(tries) < 6 * 30, "it is not asked about each alone"
    assert outbox.waiting() == 100
    broken[0] = False
    until(lambda: outbox.flush(1))
    assert (counters.signals_delivered, counters.signals_rejected) == (100, 0)
    outbox.close(0)


def test_a_store_that_raises_does_not_end_the_delivery(until) -> None:
    class Flaky(MemoryStore):
        harm = True

        def read(self, name: str) -> bytes | None:
            if self.harm:
                self.harm = False
                raise RuntimeError("of all things")
            return super().read(name)

    taken: list[bytes] = []

    def receive(payloads: Sequence[bytes], /) -> Outcome:
        taken.extend(payloads)
        return Delivered()

    outbox = Outbox("events", Flaky(), receive, Counters())
    outbox.put("a", b"a")
    outbox.start()
    until(lambda: taken == [b"a"])
    outbox.close(0)


def test_a_stored_signal_that_is_none_is_rejected_alone(until) -> None:
    taken: list[object] = []
    counters = Counters()
    outbox = Outbox("signals", MemoryStore(), LocalSink(taken.extend).deliver, counters, batch=100)
    outbox.put("a", b'{"no": "signal"}')
    outbox.start()
    until(lambda: counters.signals_rejected == 1)
    assert taken == []
    outbox.close(0)
