"""Two models on the same queries of the past, by an evaluation part and without the pipeline."""

from ranking.evaluation.archive import UnusablePartError, read_part, write_part
from ranking.evaluation.comparison import (
    MIN_QUERIES,
    TOLERANCE,
    ComparedModel,
    ModelComparison,
    ModelVerdict,
    NotComparableError,
    choose_queries,
    compare,
    compare_gains,
)
from ranking.evaluation.models import RankingModel, align, model_of_bundle
from ranking.evaluation.part import EvaluationPart, HeldOutQueries, PartManifest
from ranking.evaluation.scoring import query_gains

__all__ = [
    "MIN_QUERIES",
    "TOLERANCE",
    "ComparedModel",
    "EvaluationPart",
    "HeldOutQueries",
    "ModelComparison",
    "ModelVerdict",
    "NotComparableError",
    "PartManifest",
    "RankingModel",
    "UnusablePartError",
    "align",
    "choose_queries",
    "compare",
    "compare_gains",
    "model_of_bundle",
    "query_gains",
    "read_part",
    "write_part",
]
