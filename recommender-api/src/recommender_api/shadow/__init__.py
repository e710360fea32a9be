"""A model in `shadow` mode: it answers mirrored queries after their callers got answers, and is compared."""

from recommender_api.shadow.metrics import ShadowMetrics
from recommender_api.shadow.mirror import Mirror

__all__ = ["Mirror", "ShadowMetrics"]
