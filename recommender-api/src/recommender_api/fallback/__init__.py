"""The chain that answers when the main path doesn't."""

from recommender_api.fallback.chain import FallbackChain, Fallen

__all__ = ["FallbackChain", "Fallen"]
