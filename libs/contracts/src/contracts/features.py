"""The ordered features of the ranker: names, types and defaults. How they are computed is in `ranking.features`."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Feature:
    """One column of the ranker's input; `default` stands where nothing is known."""

    name: str
    dtype: str = "float32"
    default: float = 0.0


# Recall channels in the order of their bits in a channel code.
CHANNELS = ("behavior", "content", "vector", "history", "popular", "recent", "transition", "popular_30d")
# Those that add up votes of neighbours.
VOTING_CHANNELS = ("behavior", "content", "vector", "history", "recent", "transition")
# Those of the first release: its rankers know a candidate's score only from channels that propose it.
SCORED_CHANNELS = CHANNELS[:5]

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

# Of a user at the moment of a query, so no snapshot has them.
SESSION_FEATURES = (
    Feature("user_idle_hours", default=-1.0),
    Feature("user_hour_interactions"),
    Feature("user_day_interactions"),
)

_PROPOSALS = (
    *(Feature(f"score_{channel}") for channel in SCORED_CHANNELS),
    *(Feature(f"rank_{channel}") for channel in SCORED_CHANNELS),
    Feature("channel_count"),
)

# All columns that this release computes. A ranker names those it was trained on.
FEATURES = (
    *ITEM_FEATURES,
    *(Feature(f"vote_{channel}") for channel in VOTING_CHANNELS),
    *_PROPOSALS,
    *USER_FEATURES,
    *SESSION_FEATURES,
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
# Those that rankers are trained on. The others are for rankers of the first release: they add nothing to the votes.
TRAINED_FEATURES = tuple(feature for feature in FEATURES if feature not in _PROPOSALS)


def schema_of(features: Iterable[Feature]) -> str:
    """Return a hash (16 hex digits) of the ordered names, types and defaults, of all and of the user features."""
    everything = tuple(features)
    parts = [everything, [feature for feature in everything if feature in USER_FEATURES]]
    canonical = json.dumps([[asdict(feature) for feature in part] for part in parts], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


FEATURE_SCHEMA = schema_of(TRAINED_FEATURES)
# The user features of these are the first of `USER_FEATURES`.
READABLE_SCHEMAS = frozenset({FEATURE_SCHEMA, "e98a244902e8ff2e"})
