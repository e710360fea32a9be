"""The chain that answers when the main path doesn't."""

from recommender_api.fallback.chain import FallbackAnswer, FallbackChain

__all__ = ["FallbackAnswer", "FallbackChain"]
