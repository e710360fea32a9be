"""Proof from production that served features are the trained ones: what was served is computed again and compared."""

from pipeline.skew.command import compare_served, report_skew, signal, write_result
from pipeline.skew.result import SkewResult

__all__ = ["SkewResult", "compare_served", "report_skew", "signal", "write_result"]
