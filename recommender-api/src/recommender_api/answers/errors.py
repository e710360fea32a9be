"""Why a question has no answer, or none from the main path."""

from typing import Literal

DegradeReason = Literal["redis_unavailable", "redis_error", "timeout", "recall_failed", "rank_failed", "no_candidates"]


class UnanswerableError(Exception):
    """There is no answer at any level; the caller gets a problem document."""


class NoModelError(UnanswerableError):
    """No bundle is loaded yet: deploy one, or wait until the first download is done."""


class UnknownDatasetError(UnanswerableError):
    """The model's catalogue doesn't hold the dataset asked about: check the id, or wait for the next training."""


class WithdrawnDatasetError(UnknownDatasetError):
    """The dataset asked about must not be shown: an operator or the business database has withdrawn it."""


class MainPathError(Exception):
    """The main path failed; the fallback chain answers, and the answer names `reason`."""

    reason: DegradeReason


class BudgetExceededError(MainPathError):
    """The main path ran past its time budget."""

    reason: DegradeReason = "timeout"


class RecallFailedError(MainPathError):
    """Recall raised; the cause is chained."""

    reason: DegradeReason = "recall_failed"


class RankFailedError(MainPathError):
    """Ranking raised; the cause is chained."""

    reason: DegradeReason = "rank_failed"


class NoCandidatesError(MainPathError):
    """Nothing was recalled, though the catalogue holds datasets that the filters allow."""

    reason: DegradeReason = "no_candidates"
