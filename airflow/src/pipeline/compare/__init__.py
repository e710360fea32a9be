"""Two models on the same queries of the past: `python -m pipeline compare A B`."""

from pipeline.compare.comparing import compare_sources
from pipeline.compare.sources import load_source
from pipeline.compare.text import describe

__all__ = ["compare_sources", "describe", "load_source"]
