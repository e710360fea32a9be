"""What a run and its settings mean for the data at hand, as text and as one document."""

from pipeline.explain.explanation import Explanation, explain_run
from pipeline.explain.text import describe

__all__ = ["Explanation", "describe", "explain_run"]
