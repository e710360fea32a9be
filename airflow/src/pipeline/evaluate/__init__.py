"""Evaluation: the stack, popularity, ItemKNN and EASE on one split."""

from pipeline.evaluate.protocol import STACK, Evaluation, evaluate

__all__ = ["STACK", "Evaluation", "evaluate"]
