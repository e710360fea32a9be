"""When to refuse a question: once the event loop has been late for a while, and until it keeps up again.

Controlled delay, as CoDel has it: a queue that comes and goes is a burst, and is worked off; one that stays helps
nobody, and is cut. The loop is the queue, and its lateness is measured, because the time of an answer tells nothing:
a slow Redis makes answers late too, but refusing some would make no other faster.
"""

from collections.abc import Callable
from math import inf

TICK_SECONDS = 0.002
# In times of the longest wait: what lasts for longer is no burst, nor is it over before. Nor does a burst keep anybody
# waiting for longer.
INTERVAL = 10
# What waits for a slow Redis costs no time, but memory; and so few are no queue, however long they have waited.
MOST, LEAST = 1024, 8
# Until the first overload nobody knows what a question costs: about a third of a millisecond.
FIRST_COST = 0.0003
# Questions whose cost is averaged, and how much the average moves what is known.
SAMPLE, WEIGHT = 20, 0.2
# CPU time of a refusal, HTTP included, as measured; an overload's time is not the questions' alone.
REFUSAL_SECONDS = 60e-6


class Admission:
    """Takes questions in, or says no; `later` is the loop's `call_later`, `clock` its time, `cpu` its thread's (s)."""

    def __init__(
        self,
        longest_wait: float,
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float],
        cpu: Callable[[], float],
    ) -> None:
        self.under_way = 0
        self.is_late = False
        self._longest_wait = longest_wait
        self._later = later
        self._clock = clock
        self._cpu = cpu
        self._cost = FIRST_COST
        # When the loop came round last, and since when it is not what `is_late` says; inf while it is idle, or is.
        self._round = self._otherwise = inf
        self._late_at = -inf
        # Since the loop came round: who was taken in, who was not, and who came when it should have done so again.
        self._entered = self._refused = self._behind = 0
        self._finished = self._refused_before = 0
        self._cpu_before = 0.0

    @property
    def limit(self) -> int:
        """What may be under way while the loop is late: as much as it can do in the longest wait."""
        return min(max(LEAST, int(self._longest_wait / self._cost)), MOST)

    def enter(self) -> bool:
        """Take one in, to be followed by `leave`, or say no."""
        now = self._clock()
        if self._round == inf:
            self._begin(now)
        # What enters now has waited since the loop came round; a few at most, where a process is but short of CPU.
        waited = now - self._round
        if waited > TICK_SECONDS:
            self._behind += 1
        patience = self._longest_wait if self.is_late else self._longest_wait * INTERVAL
        if (
            (waited > patience and self._behind > LEAST)
            or (self.is_late and self.under_way >= self.limit)
            or self.under_way >= MOST
        ):
            self._refused += 1
            return False
        self._entered += 1
        self.under_way += 1
        return True

    def leave(self) -> None:
        """Let one go."""
        self.under_way -= 1
        self._finished += 1

    def _begin(self, now: float) -> None:
        self._round = now
        self._begin_sample()
        self._later(TICK_SECONDS, self._tick)

    def _begin_sample(self) -> None:
        self._finished = self._refused_before = 0
        self._cpu_before = self._cpu()

    def _tick(self) -> None:
        now = self._clock()
        if self._refused or now - self._round - TICK_SECONDS > self._longest_wait:
            self._late_at = now
        # A loop that only reads between two long rounds has not caught up.
        late = now - self._late_at <= self._longest_wait
        if late == self.is_late:
            self._otherwise = inf
        elif self._otherwise == inf:
            self._otherwise = now
        elif now - self._otherwise > self._longest_wait * INTERVAL:
            self.is_late, self._otherwise = late, inf
        self._round = now
        self._refused_before += self._refused
        if self._finished >= SAMPLE:
            self._learn()
        if self._entered or self._refused or self.under_way or self.is_late:
            self._entered = self._refused = self._behind = 0
            self._later(TICK_SECONDS, self._tick)
        else:
            self._round = inf

    def _learn(self) -> None:
        used = self._cpu() - self._cpu_before
        cost = (used - self._refused_before * REFUSAL_SECONDS) / self._finished
        self._cost += (max(cost, 0.0) - self._cost) * WEIGHT
        self._begin_sample()
