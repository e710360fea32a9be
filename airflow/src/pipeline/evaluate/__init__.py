"""Evaluation: the stack and the simple models by three protocols."""

from pipeline.evaluate.part import MISSING, PART, NoQueriesError, PartSettings, write_evaluation_part
from pipeline.evaluate.protocol import evaluate
from pipeline.evaluate.results import (
    AT_CUT,
    LEAVE_LAST_OUT,
    ROLLING,
    STACK,
    Evaluation,
    EvaluationSettings,
    ProtocolResult,
)

__all__ = [
    "AT_CUT",
    "LEAVE_LAST_OUT",
    "MISSING",
    "PART",
    "ROLLING",
    "STACK",
    "Evaluation",
    "EvaluationSettings",
    "NoQueriesError",
    "PartSettings",
    "ProtocolResult",
    "evaluate",
    "write_evaluation_part",
]
