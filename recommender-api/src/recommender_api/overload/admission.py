"""When to refuse a question: once more work has waited for a while than can be done in time, until that is over.

Controlled delay, as CoDel has it: a queue that comes and goes is a burst, and is worked off; one that stays helps
nobody, and is cut. The queue is all that is under way, over however many rounds of the event loop; its length is the
work in it, in CPU time of the loop's thread. The time of an answer tells nothing: a slow Redis, or a machine that is
short of CPU, makes answers late too, but refusing some would make no other faster.
"""

from collections.abc import Callable
from math import inf

TICK_SECONDS = 0.002  # how often the loop is looked at, if its rounds are not longer
# In times of the longest wait: what lasts for longer is no burst, nor is it over before. Nor does a burst keep anybody
# waiting for longer.
INTERVAL = 10
# What waits for a slow Redis costs no time, but memory; and so few are no queue, however long they have waited.
MOST, LEAST = 1024, 4
# Until the first overload nobody knows what a question costs: about a third of a millisecond.
FIRST_COST = 0.0003
# Questions whose cost is averaged, and how much the average moves what is known.
SAMPLE, WEIGHT = 20, 0.2
MIN_COST = 1e-6
# Of the longest wait, what is planned: questions differ, and those that come later are begun before the first is done.
SHARE = 0.65


class Admission:
    """Takes questions in, or says no; `later` is the loop's `call_later`, `clock` its time, `cpu` its thread's (s)."""

    def __init__(
        self,
        longest_wait: float,
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float],
        cpu: Callable[[], float],
    ) -> None:
        self.in_flight = 0
        self.is_overloaded = False
        self._longest_wait = longest_wait
        self._later = later
        self._clock = clock
        self._cpu = cpu
        self._cost = FIRST_COST
        # When the loop came round last, and since when it is not what `is_overloaded` says; inf: idle, or it is that.
        self._round = self._otherwise = inf
        # The thread's CPU time then: what a question finds done when it comes.
        self.work_done = 0.0
        self._late_at = -inf
        # Since the loop came round: who was taken in, who was not, and who came when it should have done so again.
        self._entered = self._refused = self._behind = 0
        self._finished = 0
        self._cpu_before = 0.0

    @property
    def limit(self) -> int:
        """What may be under way while the loop is late: as much as it can do in `SHARE` of the longest wait."""
        return min(max(LEAST, int(self._longest_wait * SHARE / max(self._cost, MIN_COST))), MOST)

    def acquire(self) -> bool:
        """Take one in, to be followed by `release`, or say no."""
        now = self._clock()
        if self._round == inf:
            self._begin(now)
        # What enters now has waited since the loop came round.
        if now - self._round > TICK_SECONDS:
            self._behind += 1
        if self.in_flight >= MOST or ((self.is_overloaded or self._behind > LEAST) and self._waits_too_long(now)):
            self._refused += 1
            return False
        self._entered += 1
        self.in_flight += 1
        return True

    def release(self) -> None:
        """Let one go."""
        self.in_flight -= 1
        self._finished += 1

    def work_since(self, before: float) -> float:
        """Return for how much work of others (s) a question has waited that is answered now and came at `before`."""
        return max(self._cpu() - before - self._cost, 0.0)

    def _waits_too_long(self, now: float) -> bool:
        """Whether what was done since the loop came round, and what is under way, is more than a question waits for."""
        patience = self._longest_wait if self.is_overloaded else self._longest_wait * INTERVAL
        # Asking for the CPU time costs more than the clock, and no more of it than of time has gone by.
        waited = now - self._round
        if waited > TICK_SECONDS:
            waited = self._cpu() - self.work_done
        if not self.is_overloaded:
            return waited > patience
        if self.in_flight < LEAST and waited <= patience / 2:
            return False
        return waited + (self.in_flight + 1) * self._cost > patience * SHARE

    def _begin(self, now: float) -> None:
        self._round = now
        self.work_done = self._cpu()
        self._begin_sample()
        self._later(TICK_SECONDS, self._tick)

    def _begin_sample(self) -> None:
        self._finished = 0
        self._cpu_before = self._cpu()

    def _tick(self) -> None:
        now, cpu = self._clock(), self._cpu()
        if self._is_behind(now - self._round, cpu - self.work_done):
            self._late_at = now
        # A loop that only reads between two long rounds has not caught up.
        late = now - self._late_at <= self._longest_wait
        if late == self.is_overloaded:
            self._otherwise = inf
        elif self._otherwise == inf:
            self._otherwise = now
        elif now - self._otherwise > self._longest_wait * INTERVAL:
            self.is_overloaded, self._otherwise = late, inf
        self._round, self.work_done = now, cpu
        if self._finished >= SAMPLE:
            self._learn()
        if self._entered or self._refused or self.in_flight or self.is_overloaded:
            self._entered = self._refused = self._behind = 0
            self._later(TICK_SECONDS, self._tick)
        else:
            self._round = inf

    def _is_behind(self, elapsed: float, used: float) -> bool:
        """Whether the loop's last round, or what is under way or was refused, is more than a question may wait for.

        What is under way in a loop that has time left waits for Redis, and not for the loop.
        """
        if used > self._longest_wait:
            return True
        has_time_left = elapsed <= 2 * TICK_SECONDS and used < elapsed / 2
        return not has_time_left and (self._refused > 0 or self.in_flight * self._cost > self._longest_wait)

    def _learn(self) -> None:
        # With the refusals between them: who waits, waits for those too.
        cost = (self._cpu() - self._cpu_before) / self._finished
        self._cost += (cost - self._cost) * WEIGHT
        self._begin_sample()
