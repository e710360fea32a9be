"""The time a request may take on its main path."""

from collections.abc import Callable

from recommender_api.recommendations.errors import BudgetExceededError


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
        """Raise `BudgetExceededError` if the time is up; `stage` is what ended just now."""
        elapsed = self.elapsed()
        if elapsed > self._seconds:
            raise BudgetExceededError(
                f"{stage} ended after {elapsed * 1000:.0f} ms, the budget is {self._seconds * 1000:.0f} ms"
            )
