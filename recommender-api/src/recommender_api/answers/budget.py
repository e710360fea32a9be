"""The time budget of a request on its main path."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

from recommender_api.answers.errors import BudgetExceededError


class Stage(StrEnum):
    """The stages of the main path, as spans, metrics and errors name them."""

    READ = "read"
    RECALL = "recall"
    RANK = "rank"


# The share of the budget by which each stage must have ended, so that the stages after it have time left. A stage that
# would end too late is not started: its result would be discarded, and the fallback would start even later.
SHARES: Mapping[Stage, float] = {Stage.READ: 0.6, Stage.RECALL: 0.8, Stage.RANK: 1.0}


class StageHistogram(Protocol):
    """A histogram of the durations of main path stages; the metrics provide one."""

    def observe(self, stage: Stage, seconds: float, /) -> None:
        """Count a duration."""
        ...


class Budget:
    """Starts when it is created; `seconds` on `clock`. `spent` is the time that the finished stages took (s).

    Of that, `waited` is the time in which other requests were ranked.
    """

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self.spent = self.waited = 0.0
        self._clock = clock
        self._seconds = seconds
        self._started = clock()

    @property
    def worked(self) -> float:
        """The time spent on this request itself (s)."""
        return self.spent - self.waited

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self._started

    def end_stage(self) -> float:
        """Return the seconds since the last stage ended."""
        before, self.spent = self.spent, self._clock() - self._started
        return self.spent - before

    def left(self, stage: Stage) -> float:
        """Return the seconds until `stage` must have ended, below 0 if that is past."""
        return self._seconds * SHARES[stage] - self.elapsed()

    def check(self, stage: Stage) -> None:
        """Raise `BudgetExceededError` if `stage`, which ended last, used the time of the stages after it."""
        allowed = self._seconds * SHARES[stage]
        if self.spent > allowed:
            raise BudgetExceededError(
                f"{stage} ended after {self.spent * 1000:.0f} ms, its share of the budget is {allowed * 1000:.0f} ms"
            )
