"""The time a request may take on its main path."""

from collections.abc import Callable
from typing import Protocol

from recommender_api.answers.errors import BudgetExceededError

# By which share of the budget a stage must have ended, so that those after it have theirs; others have all of it. One
# that would end too late is not begun: its result would be thrown away, and the fallback would be later still.
SHARES = {"reading Redis": 0.6, "recall": 0.8}


class StageHistogram(Protocol):
    """Where the main path's stages put how long they took; metrics have one."""

    def observe(self, stage: str, seconds: float, /) -> None:
        """Count a duration."""
        ...


class Budget:
    """Starts when it is made; `seconds` on `clock`. `spent` is what the stages that have ended took of it (s).

    Of that, `waited` went by while others were ranked.
    """

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self.spent = self.waited = 0.0
        self._clock = clock
        self._seconds = seconds
        self._started = clock()

    @property
    def worked(self) -> float:
        """What was spent on this request itself (s)."""
        return self.spent - self.waited

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self._started

    def end_stage(self) -> float:
        """Return the seconds since the last stage ended."""
        before, self.spent = self.spent, self._clock() - self._started
        return self.spent - before

    def check(self, stage: str) -> None:
        """Raise `BudgetExceededError` if `stage`, which ended last, took the time of those after it."""
        allowed = self._seconds * SHARES.get(stage, 1.0)
        if self.spent > allowed:
            raise BudgetExceededError(
                f"{stage} ended after {self.spent * 1000:.0f} ms, its part of the budget is {allowed * 1000:.0f} ms"
            )
