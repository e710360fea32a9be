"""A model in `shadow` mode: it answers mirrored questions after their callers were answered, and is compared."""

from recommender_api.shadow.metrics import ShadowMetrics
from recommender_api.shadow.mirror import Mirror

__all__ = ["Mirror", "ShadowMetrics"]
