"""How long each step took in the last runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.run_reports import RunChecks

_LEAST_SECONDS = 0.1
# A larger figure is not a duration.
_MOST_SECONDS = 1e8


@dataclass(frozen=True)
class StepTrend:
    """One step: its duration in seconds in each run, oldest first, None in a run without it."""

    step: str
    seconds: Sequence[float | None]

    @property
    def last(self) -> float:
        """Its newest duration in seconds."""
        return next(each for each in reversed(self.seconds) if each is not None)

    @property
    def shares(self) -> list[float | None]:
        """Each duration as a share of the longest one, from 0 to 1."""
        longest = max(_LEAST_SECONDS, *(each for each in self.seconds if each is not None))
        return [None if each is None else each / longest for each in self.seconds]


def step_trends(runs: Sequence[tuple[str, RunChecks]]) -> list[StepTrend]:
    """Return the durations of each step of the runs, given oldest first, in the order of the newest run's steps."""
    by_run = [{each.step: min(each.seconds, _MOST_SECONDS) for each in results.steps} for _, results in runs]
    names = dict.fromkeys(name for durations in reversed(by_run) for name in durations)
    return [StepTrend(name, [each.get(name) for each in by_run]) for name in names]
