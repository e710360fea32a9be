"""The fallback chain, which answers if the main path fails."""

from recommender_api.fallback.chain import FallbackAnswer, FallbackChain

__all__ = ["FallbackAnswer", "FallbackChain"]
