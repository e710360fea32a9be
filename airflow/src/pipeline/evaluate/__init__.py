"""How good is it? The shipped stack against popularity, ItemKNN and EASE on one split."""

from pipeline.evaluate.protocol import evaluate

__all__ = ["evaluate"]
