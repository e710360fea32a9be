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


# Recall channels in the order of their bits in a channel code.
CHANNELS = ("behavior", "content", "vector", "history", "popular", "recent", "transition", "popular_30d")

# Both lists grow at their end only: a value of an earlier release then still has its place.
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
        "item_popularity_6h",
        "item_popularity_12h",
        "item_popularity_2d",
        "item_rank_1d",
        "item_rank_7d",
        "item_trend_30d",
        "item_idle_hours",
    )
)

USER_FEATURES = tuple(
    Feature(name)
    for name in (
        "user_interactions",
        "user_purchase_share",
        "user_mean_price",
        "user_trend_1d",
        "user_trend_7d",
        "user_age",
        "user_recent_trend_1d",
        "user_recent_age",
    )
)

# Channels whose score is also given as a share of the channel's best.
SHARED_CHANNELS = ("history", "recent", "transition")

FEATURES = (
    *ITEM_FEATURES,
    *(Feature(f"score_{channel}") for channel in CHANNELS),
    *(Feature(f"rank_{channel}") for channel in CHANNELS),
    *(Feature(f"share_{channel}") for channel in SHARED_CHANNELS),
    Feature("channel_count"),
    *USER_FEATURES,
    Feature("user_price_gap"),
    Feature("user_content_affinity"),
    Feature("user_provider_share"),
    Feature("user_recent_affinity"),
    Feature("user_trend_1d_gap"),
    Feature("user_trend_7d_gap"),
    Feature("user_age_gap"),
    Feature("user_recent_trend_1d_gap"),
    Feature("user_recent_age_gap"),
    Feature("anchor_content_similarity"),
    Feature("anchor_price_gap"),
    Feature("anchor_same_provider"),
)


def schema_hash() -> str:
    """Return a hash (16 hex digits) of the ordered names, types and defaults; bundle and snapshot must share it."""
    canonical = json.dumps([[asdict(f) for f in FEATURES], [asdict(f) for f in USER_FEATURES]], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


FEATURE_SCHEMA = schema_hash()
# This release computes the features of these, too, and their user features are the first of `USER_FEATURES`.
READABLE_SCHEMAS = frozenset({FEATURE_SCHEMA, "e98a244902e8ff2e"})
