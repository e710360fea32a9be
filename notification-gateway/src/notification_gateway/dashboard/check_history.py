"""The results of each data check in the last runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.run_reports import RunCheck, RunChecks

RUNS_SHOWN = 30
CHECKS_SHOWN = 100
_ORDER = ("critical", "warning", "info", "ok")


@dataclass(frozen=True)
class CheckHistory:
    """One check: its result in each run, oldest first, None in a run without it; and its last result."""

    check: str
    results: Sequence[RunCheck | None]
    last: RunCheck

    @property
    def failures(self) -> int:
        """In how many of the runs it did not pass."""
        return sum(each is not None and each.severity in ("critical", "warning") for each in self.results)


def check_histories(runs: Sequence[tuple[str, RunChecks]]) -> list[CheckHistory]:
    """Return the history of each check of the runs, given oldest first; what is wrong now comes first."""
    by_run = [{each.check: each for each in checks.checks} for _, checks in runs]
    names = dict.fromkeys(name for results in by_run for name in results)
    found = []
    for name in names:
        results = [each.get(name) for each in by_run]
        last = next(each for each in reversed(results) if each is not None)
        found.append(CheckHistory(name, results, last))
    return sorted(found, key=lambda each: (_ORDER.index(each.last.severity), -each.failures, each.check))[:CHECKS_SHOWN]
