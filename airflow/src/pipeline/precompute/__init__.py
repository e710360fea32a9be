"""The precomputed lists of the fallback chain."""

from pipeline.precompute.lists import precompute

__all__ = ["precompute"]
