"""An outage is not a storm: one event per window, and the sum of occurrences is the number of reports."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from monitoring.coalescing import MAX_OPEN_WINDOWS, MAX_REQUEST_IDS, WINDOW_SECONDS, Coalescer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 50),
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["report", "report", "report", "due", "drain", "end"]),
        ),
        max_size=200,
    )
)
def test_occurrences_of_firsts_and_repeats_sum_to_the_number_of_reports(steps: list[tuple[float, str, str]]) -> None:
    clock = Clock()
    coalescer: Coalescer[str, int] = Coalescer(clock=clock)
    reported = dict.fromkeys("abc", 0)
    counted = dict.fromkeys("abc", 0)
    firsts_at: dict[str, list[float]] = {key: [] for key in "abc"}

    def take(every: list) -> None:
        for repeats in every:
            assert repeats.occurrences > 0
            assert repeats.first_seen <= repeats.last_seen <= clock.now
            counted[repeats.key] += repeats.occurrences

    for number, (pause, key, action) in enumerate(steps):
        clock.now += pause
        if action == "report":
            reported[key] += 1
            if coalescer.observe(key, number, f"req_{number}"):
                counted[key] += 1
                firsts_at[key].append(clock.now)
        elif action == "end":
            take(coalescer.end(lambda each, ended=key: each == ended))
            firsts_at[key].clear()
        else:
            take(coalescer.due() if action == "due" else coalescer.drain())
    take(coalescer.drain())
    assert counted == reported
    for times in firsts_at.values():
        # Between two first reports of one fault there is at least a window.
        assert all(later - earlier >= WINDOW_SECONDS for earlier, later in pairwise(times))


@given(steps=st.lists(st.tuples(st.floats(0, 50), st.sampled_from("ab"), st.booleans()), max_size=200))
def test_events_of_one_fault_are_a_window_apart_until_it_or_the_process_ends(
    steps: list[tuple[float, str, bool]],
) -> None:
    """However late the end of a window is noticed."""
    clock = Clock()
    coalescer: Coalescer[str, None] = Coalescer(clock=clock)
    sent_at: dict[str, list[float]] = {key: [] for key in "ab"}
    for pause, key, is_report in steps:
        clock.now += pause
        if is_report and coalescer.observe(key, None):
            sent_at[key].append(clock.now)
        for repeats in [] if is_report else coalescer.due():
            sent_at[repeats.key].append(clock.now)
    for times in sent_at.values():
        assert all(later - earlier >= WINDOW_SECONDS - 1e-6 for earlier, later in pairwise(times))


def test_a_lasting_fault_makes_one_event_per_window() -> None:
    clock = Clock()
    coalescer: Coalescer[str, None] = Coalescer(clock=clock)
    events = []
    for second in range(300 * 10):
        clock.now = 1000.0 + second / 10
        if coalescer.observe("redis", None):
            events.append((clock.now, 1))
        events += [(clock.now, repeats.occurrences) for repeats in coalescer.due()]
    assert [at for at, _ in events] == [1000.0, 1060.0, 1120.0, 1180.0, 1240.0]
    assert sum(count for _, count in events) + sum(each.occurrences for each in coalescer.drain()) == 3000


def test_repeats_carry_a_sample_of_ten_request_ids_and_the_newest_report() -> None:
    coalescer: Coalescer[str, int] = Coalescer(clock=Clock())
    for number in range(30):
        coalescer.observe("key", number, f"req_{number // 2}")
    (repeats,) = coalescer.drain()
    assert repeats.occurrences == 29
    assert repeats.request_ids == tuple(f"req_{number}" for number in range(MAX_REQUEST_IDS))
    assert repeats.last == 29


def test_after_a_quiet_window_the_next_report_goes_at_once() -> None:
    clock = Clock()
    coalescer: Coalescer[str, None] = Coalescer(clock=clock)
    assert coalescer.observe("key", None)
    clock.now += WINDOW_SECONDS
    assert coalescer.due() == []
    assert coalescer.next_end() is None
    assert coalescer.observe("key", None)


def test_after_a_recovery_the_next_report_goes_at_once() -> None:
    coalescer: Coalescer[str, None] = Coalescer(clock=Clock())
    coalescer.observe("key", None)
    coalescer.observe("key", None)
    (repeats,) = coalescer.end(lambda key: key == "key")
    assert repeats.occurrences == 1
    assert coalescer.observe("key", None)


def test_endless_fingerprints_do_not_eat_the_memory_and_lose_no_count() -> None:
    coalescer: Coalescer[int, None] = Coalescer(clock=Clock())
    counted = 0
    for number in range(MAX_OPEN_WINDOWS + 100):
        counted += coalescer.observe(number, None)
        counted += coalescer.observe(number, None)
    counted += sum(repeats.occurrences for repeats in coalescer.drain())
    assert counted == 2 * (MAX_OPEN_WINDOWS + 100)
