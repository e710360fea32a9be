"""The ordered features of the ranker: names, types and defaults. How they are computed is in `ranking.features`."""

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Feature:
    """One column of the ranker's input; `default` stands where nothing is known."""

    name: str
    dtype: str = "float32"
    default: float = 0.0


# Recall channels in the order of their score columns.
CHANNELS = ("behavior", "content", "vector", "history", "popular")

ITEM_FEATURES = tuple(
    Feature(name)
    for name in (
        "item_popularity_1d",
        "item_popularity_3d",
        "item_popularity_7d",
        "item_popularity_30d",
        "item_popularity_all",
        "item_trend",
        "item_popularity_share",
        "item_age_days",
        "item_purchase_share",
        "item_price",
    )
)

USER_FEATURES = tuple(Feature(name) for name in ("user_interactions", "user_purchase_share", "user_mean_price"))

FEATURES = (
    *ITEM_FEATURES,
    *(Feature(f"score_{channel}") for channel in CHANNELS),
    *(Feature(f"rank_{channel}") for channel in CHANNELS),
    Feature("channel_count"),
    *USER_FEATURES,
    Feature("user_price_gap"),
    Feature("user_content_affinity"),
    Feature("user_provider_share"),
    Feature("anchor_content_similarity"),
    Feature("anchor_price_gap"),
    Feature("anchor_same_provider"),
)


def schema_hash() -> str:
    """Return a hash (16 hex digits) of the ordered names, types and defaults; bundle and snapshot must share it."""
    canonical = json.dumps([[asdict(f) for f in FEATURES], [asdict(f) for f in USER_FEATURES]], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


FEATURE_SCHEMA = schema_hash()
