"""The ordered features of the ranker: names, types and defaults. How they are computed is in `ranking.features`."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Feature:
    """One column of the ranker's input; `default` stands where nothing is known.

    `definition` is None for a column that a release computes. For one that a user has declared, it is a hash of the
    declaration, so that two columns of one name are told apart.
    """

    name: str
    dtype: str = "float32"
    default: float = 0.0
    definition: str | None = None


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

# Names of columns that a user has declared. No release gives such a name to a column of its own.
OWN_DATASET, OWN_USER = "own_dataset_", "own_user_"
# And of those that relate two of them: dataset minus user, and whether both are of one category.
OWN_GAP, OWN_SAME = "own_gap_", "own_same_"
_OWN = (OWN_DATASET, OWN_USER, OWN_GAP, OWN_SAME)


def is_own(feature: Feature) -> bool:
    """Return whether this release can serve a feature as a declared column."""
    return feature.name.startswith(_OWN) and feature.dtype == "float32" and feature.definition is not None


def schema_of(features: Iterable[Feature]) -> str:
    """Return a hash (16 hex digits) of the ordered names, types and defaults, of all and of the user features."""
    everything = tuple(features)
    parts = [everything, [feature for feature in everything if feature in USER_FEATURES]]
    canonical = json.dumps([[_fields_of(feature) for feature in part] for part in parts], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _fields_of(feature: Feature) -> dict[str, object]:
    """Return the fields; without `definition` where there is none, so that earlier hashes stay."""
    return {name: value for name, value in asdict(feature).items() if value is not None}


FEATURE_SCHEMA = schema_of(TRAINED_FEATURES)
# The user features of these are the first of `USER_FEATURES`.
READABLE_SCHEMAS = frozenset({FEATURE_SCHEMA, "e98a244902e8ff2e"})
