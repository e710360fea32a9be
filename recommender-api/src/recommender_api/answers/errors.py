"""Errors of a query: it has no answer at all, or none from the main path."""

from typing import Literal

DegradeReason = Literal["redis_unavailable", "redis_error", "timeout", "recall_failed", "rank_failed", "no_candidates"]


class UnanswerableError(Exception):
    """No level has an answer; the caller gets a problem document."""


class NoModelError(UnanswerableError):
    """No bundle is loaded yet: deploy one, or wait until the first download has finished."""


class UnknownDatasetError(UnanswerableError):
    """The model's catalogue doesn't contain this dataset: check the id, or wait for the next training."""


class WithdrawnDatasetError(UnknownDatasetError):
    """An operator or the business database has withdrawn this dataset, so it must not be shown."""


class MainPathError(Exception):
    """The main path failed. The fallback chain answers, and the answer contains `reason`."""

    reason: DegradeReason


class BudgetExceededError(MainPathError):
    """The main path exceeded its time budget."""

    reason: DegradeReason = "timeout"


class RecallFailedError(MainPathError):
    """Recall raised; the cause is chained."""

    reason: DegradeReason = "recall_failed"


class RankFailedError(MainPathError):
    """Ranking raised; the cause is chained."""

    reason: DegradeReason = "rank_failed"


class NoCandidatesError(MainPathError):
    """Recall found nothing, although the filters allow some datasets of the catalogue."""

    reason: DegradeReason = "no_candidates"
