"""Comparison of two models on the same queries of the past, with an evaluation part and nothing of the pipeline."""

from ranking.evaluation.archive import UnusablePartError, read_part, write_part
from ranking.evaluation.comparison import (
    TOLERANCE,
    Comparison,
    NotComparableError,
    Verdict,
    compare,
    compare_gains,
)
from ranking.evaluation.models import RankingModel, align, model_of_bundle
from ranking.evaluation.part import EvaluationPart, PartManifest, PastQueries
from ranking.evaluation.scoring import query_gains

__all__ = [
    "TOLERANCE",
    "Comparison",
    "EvaluationPart",
    "NotComparableError",
    "PartManifest",
    "PastQueries",
    "RankingModel",
    "UnusablePartError",
    "Verdict",
    "align",
    "compare",
    "compare_gains",
    "model_of_bundle",
    "query_gains",
    "read_part",
    "write_part",
]
