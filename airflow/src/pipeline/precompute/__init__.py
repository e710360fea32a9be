"""The lists that answer when the main path can't."""

from pipeline.precompute.lists import precompute

__all__ = ["precompute"]
