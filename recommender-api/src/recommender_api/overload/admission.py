"""Admission control: rejects requests while more work waits than can be done in time.

Controlled delay, as in CoDel: a queue that comes and goes is a burst and is processed; a queue that stays is cut. The
queue is all requests in flight, over any number of event loop rounds. Its length is their work, in CPU time of the
loop's thread. The duration of an answer is not a usable measure: a slow Redis or a machine without free CPU also delays
answers, but then rejecting some requests would not make the others faster.
"""

from collections.abc import Callable
from math import inf

TICK_SECONDS = 0.002  # how often the loop is checked, if its rounds are not longer
# In multiples of the longest wait: an overload begins, and ends, only after the state has lasted this long. A shorter
# one is a burst, which delays no caller longer than this.
INTERVAL = 10
# At most: requests that wait for a slow Redis cost memory but no CPU time. At least: so few requests are not a queue,
# however long they have waited.
MOST, LEAST = 1024, 4
# The cost of a query is unknown until the first overload; a third of a millisecond is typical.
FIRST_COST = 0.0003
# The number of queries whose cost is averaged, and the weight of a new average.
SAMPLE, WEIGHT = 20, 0.2
MIN_COST = 1e-6
# The planned share of the longest wait: queries differ, and later ones are started before the first is done.
SHARE = 0.65


class Admission:
    """Admits or rejects requests; `later` is the loop's `call_later`, `clock` its time, `cpu` its CPU time (s)."""

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
        # The start of the loop's last round, and since when the state differs from `is_overloaded`; inf: idle, or no
        # difference.
        self._round = self._otherwise = inf
        # The thread's CPU time at that moment, before the work of any request that arrives later.
        self.work_done = 0.0
        self._late_at = -inf
        # Since that moment: the requests admitted, those rejected, and those that arrived after the next check was due.
        self._entered = self._refused = self._behind = 0
        self._finished = 0
        self._cpu_before = 0.0

    @property
    def limit(self) -> int:
        """The maximum of requests in flight during an overload: as many as take `SHARE` of the longest wait."""
        return min(max(LEAST, int(self._longest_wait * SHARE / max(self._cost, MIN_COST))), MOST)

    def acquire(self) -> bool:
        """Admit one request, to be followed by `release`, or return False."""
        now = self._clock()
        if self._round == inf:
            self._begin(now)
        # A request that arrives now has waited since the loop's last round.
        if now - self._round > TICK_SECONDS:
            self._behind += 1
        if self.in_flight >= MOST or ((self.is_overloaded or self._behind > LEAST) and self._waits_too_long(now)):
            self._refused += 1
            return False
        self._entered += 1
        self.in_flight += 1
        return True

    def release(self) -> None:
        """Release one request."""
        self.in_flight -= 1
        self._finished += 1

    def work_since(self, before: float) -> float:
        """Return the CPU time of other work (s) for which a request has waited that arrived at `before`."""
        return max(self._cpu() - before - self._cost, 0.0)

    def _waits_too_long(self, now: float) -> bool:
        """Whether the work since the loop's last round plus the work in flight exceeds a request's wait."""
        patience = self._longest_wait if self.is_overloaded else self._longest_wait * INTERVAL
        # Reading the CPU time costs more than reading the clock, and it can't exceed the elapsed time.
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
        """Whether the loop's last round, or the work in flight or rejected, exceeds the longest wait of a request.

        If the loop has time left, the requests in flight wait for Redis and not for the loop.
        """
        if used > self._longest_wait:
            return True
        has_time_left = elapsed <= 2 * TICK_SECONDS and used < elapsed / 2
        return not has_time_left and (self._refused > 0 or self.in_flight * self._cost > self._longest_wait)

    def _learn(self) -> None:
        # Includes the cost of rejections, because waiting requests wait for those too.
        cost = (self._cpu() - self._cpu_before) / self._finished
        self._cost += (cost - self._cost) * WEIGHT
        self._begin_sample()
