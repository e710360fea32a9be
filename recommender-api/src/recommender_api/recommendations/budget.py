"""The time a request may take on its main path."""

from collections.abc import Callable

from recommender_api.recommendations.errors import BudgetExceededError

# By which share of the budget a stage must have ended, so that those after it have theirs; others have all of it. One
# that would end too late is not begun: its result would be thrown away, and the fallback would be later still.
SHARES = {"reading Redis": 0.6, "recall": 0.8}


class Budget:
    """Starts when it is made; `seconds` on `clock`."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self.started = clock()

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self.started

    def check(self, stage: str) -> None:
        """Raise `BudgetExceededError` if `stage`, which ended just now, took the time of those after it."""
        elapsed = self.elapsed()
        allowed = self._seconds * SHARES.get(stage, 1.0)
        if elapsed > allowed:
            raise BudgetExceededError(
                f"{stage} ended after {elapsed * 1000:.0f} ms, its part of the budget is {allowed * 1000:.0f} ms"
            )
