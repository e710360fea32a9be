"""Whether one model is better than another: the paired difference of nDCG@10 on the same queries.

The verdict is about an interval, not about two numbers: the difference has to be larger than the tolerance in 97.5 % of
the resamples. The tolerance is relative. It is there because another seed on the same data moves nDCG@10, too, and an
interval over queries doesn't contain that. Measured: by 1 % as a rule, by 4 % at most of 30 pairs.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.bootstrap import intervals
from ranking.evaluation.models import RankingModel
from ranking.evaluation.part import EvaluationPart
from ranking.evaluation.scoring import query_gains
from ranking.replay import Kind

MIN_QUERIES = 500
# Below this share of known datasets, a model comes from another marketplace.
SAME_MARKETPLACE = 0.5
TOLERANCE = 0.005
_SEED = 42
Score = Callable[[EvaluationPart, RankingModel], NDArray[np.float64]]


class NotComparableError(ValueError):
    """The queries can't be used for one of the models; the message says which and why."""


class ModelVerdict(StrEnum):
    """What is known of the second model, compared with the first."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference"
    NOT_ENOUGH_QUERIES = "not enough queries"


class KindScores(NamedTuple):
    """nDCG@10 of both models on the queries of one endpoint."""

    queries: int
    first: float
    second: float


@dataclass(frozen=True)
class ModelComparison:
    """The second model against the first on `queries` of `users`, from `cut` on.

    `first` and `second` are means of nDCG@10; `low` and `high` the 95 % interval of `difference` (second minus first),
    by bootstrap over users. `tolerance` is a share of `first`.
    """

    queries: int
    users: int
    cut: datetime
    first: float
    second: float
    difference: float
    low: float
    high: float
    tolerance: float
    verdict: ModelVerdict
    kinds: Mapping[str, KindScores]

    def document(self) -> dict[str, Any]:
        """Return everything as JSON can express it."""
        kinds = {name: scores._asdict() for name, scores in self.kinds.items()}
        return asdict(self) | {"cut": self.cut.isoformat(), "verdict": str(self.verdict), "kinds": kinds}


class ComparedModel(NamedTuple):
    """A model, and the queries that came with it; a bundle has none."""

    name: str
    model: RankingModel
    part: EvaluationPart | None


def choose_queries(first: ComparedModel, second: ComparedModel) -> tuple[str, EvaluationPart]:
    """Return the name of the one whose queries both are asked, and its part; raises `NotComparableError`.

    Those with the later cut are chosen, because neither model may have seen them.
    """
    chosen: tuple[str, EvaluationPart] | None = None
    for name, _, part in (second, first):
        if part is not None and (chosen is None or part.manifest.cut > chosen[1].manifest.cut):
            chosen = name, part
    if chosen is None:
        raise NotComparableError(
            f"{first.name} and {second.name} have no queries: one of them needs an evaluation part"
        )
    return chosen


def compare(
    part: EvaluationPart,
    first: RankingModel,
    second: RankingModel,
    *,
    tolerance: float = TOLERANCE,
    seed: int = _SEED,
    score: Score = query_gains,
) -> ModelComparison:
    """Score both models on the part's queries, and compare them; `score` may remember what it has scored.

    Raises `NotComparableError` for a model that has seen the queries or is of another marketplace, and
    `ranking.ranker.UnusableRankerError`.
    """
    for name, model in (("first", first), ("second", second)):
        _check_unseen(part, name, model)
        _check_datasets(part, name, model)
    gains = (score(part, first), score(part, second))
    return compare_gains(part, gains, tolerance=tolerance, seed=seed)


def compare_gains(
    part: EvaluationPart,
    gains: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    tolerance: float = TOLERANCE,
    seed: int = _SEED,
) -> ModelComparison:
    """Compare nDCG@10 of the part's queries, [q] of the first and of the second model."""
    first, second = gains
    queries = part.queries
    one, other, apart = intervals(np.column_stack([first, second, second - first]), queries.user, seed)
    return ModelComparison(
        queries=len(first),
        users=len(np.unique(queries.user)),
        cut=part.manifest.cut,
        first=one.mean,
        second=other.mean,
        difference=apart.mean,
        low=apart.low,
        high=apart.high,
        tolerance=tolerance,
        verdict=judge(len(first), one.mean, (apart.low, apart.high), tolerance),
        kinds={
            kind.name.lower(): KindScores(int(of.sum()), float(first[of].mean()), float(second[of].mean()))
            for kind in Kind
            if (of := queries.kinds == kind).any()
        },
    )


def judge(queries: int, first: float, interval: tuple[float, float], tolerance: float) -> ModelVerdict:
    """Return the verdict by the interval of the difference; `tolerance` is a share of `first`."""
    low, high = interval
    if queries < MIN_QUERIES:
        return ModelVerdict.NOT_ENOUGH_QUERIES
    if high < -tolerance * first:
        return ModelVerdict.WORSE
    return ModelVerdict.BETTER if low > tolerance * first else ModelVerdict.NO_DIFFERENCE


def _check_unseen(part: EvaluationPart, name: str, model: RankingModel) -> None:
    cut = part.manifest.cut
    if model.trained_until >= cut.timestamp():
        until = datetime.fromtimestamp(model.trained_until, UTC)
        raise NotComparableError(
            f"the {name} model was trained until {until:%Y-%m-%dT%H:%M:%SZ}, and the queries begin at "
            f"{cut:%Y-%m-%dT%H:%M:%SZ}: it has seen their answers"
        )


def _check_datasets(part: EvaluationPart, name: str, model: RankingModel) -> None:
    known = float(np.isin(part.twin.ids, model.ids).mean())
    if known < SAME_MARKETPLACE:
        raise NotComparableError(
            f"the {name} model knows {known:.0%} of the queries' datasets: it is of another marketplace"
        )
