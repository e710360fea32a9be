"""The results of each data check in the last runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from contracts.data_checks import DataCheckSeverity
from contracts.run_reports import RunCheck, RunChecks

RUNS_SHOWN = 30
_BAD_SHOWN = 3
_FAILED = ("critical", "warning")
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
        return sum(each is not None and each.severity in _FAILED for each in self.results)

    @property
    def bad(self) -> list[int]:
        """The places of the newest runs in which it did not pass."""
        return [place for place, each in enumerate(self.results) if each and each.severity in _FAILED][-_BAD_SHOWN:]

    @property
    def stretches(self) -> dict[DataCheckSeverity | None, list[tuple[int, int]]]:
        """By result, None for a run without one: the first of runs with it one after another, and their number."""
        found: dict[DataCheckSeverity | None, list[tuple[int, int]]] = {}
        first = 0
        for severity, alike in groupby(None if each is None else each.severity for each in self.results):
            length = len(list(alike))
            found.setdefault(severity, []).append((first, length))
            first += length
        return found


def check_histories(runs: Sequence[tuple[str, RunChecks]]) -> list[CheckHistory]:
    """Return the history of each check of the runs, given oldest first; what is wrong now comes first."""
    by_run = [{each.check: each for each in checks.checks} for _, checks in runs]
    names = dict.fromkeys(name for results in by_run for name in results)
    found = []
    for name in names:
        results = [each.get(name) for each in by_run]
        last = next(each for each in reversed(results) if each is not None)
        found.append(CheckHistory(name, results, last))
    return sorted(found, key=lambda each: (_ORDER.index(each.last.severity), -each.failures, each.check))
