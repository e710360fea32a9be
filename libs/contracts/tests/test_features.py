"""The ranker's columns are one agreed list."""

import pytest

from contracts.features import (
    CHANNELS,
    FEATURE_SCHEMA,
    FEATURES,
    ITEM_FEATURES,
    READABLE_SCHEMAS,
    SCORED_CHANNELS,
    SESSION_FEATURES,
    TRAINED_FEATURES,
    USER_FEATURES,
    VOTING_CHANNELS,
    Feature,
    schema_of,
)

FIRST_RELEASE_SCHEMA = "e98a244902e8ff2e"
# The columns of the first release in their order.
FIRST_RELEASE = (
    *ITEM_FEATURES[:10],
    *(Feature(f"score_{channel}") for channel in ("behavior", "content", "vector", "history", "popular")),
    *(Feature(f"rank_{channel}") for channel in ("behavior", "content", "vector", "history", "popular")),
    Feature("channel_count"),
    *USER_FEATURES[:3],
    Feature("user_price_gap"),
    Feature("user_content_affinity"),
    Feature("user_provider_share"),
    Feature("anchor_content_similarity"),
    Feature("anchor_price_gap"),
    Feature("anchor_same_provider"),
)


def test_there_are_fifty_seven_columns_with_unique_names_and_rankers_are_trained_on_forty_six() -> None:
    assert len(FEATURES) == len({feature.name for feature in FEATURES}) == 57
    assert len(TRAINED_FEATURES) == 46


def test_rankers_are_trained_on_all_columns_but_those_of_proposals_in_the_same_order() -> None:
    proposals = {f"{kind}_{channel}" for channel in SCORED_CHANNELS for kind in ("score", "rank")} | {"channel_count"}
    assert [f for f in FEATURES if f.name not in proposals] == list(TRAINED_FEATURES)


def test_item_user_and_session_features_and_the_votes_of_each_channel_are_trained_on() -> None:
    wanted = {f.name for f in (*ITEM_FEATURES, *USER_FEATURES, *SESSION_FEATURES)}
    wanted |= {f"vote_{channel}" for channel in VOTING_CHANNELS}
    assert wanted <= {feature.name for feature in TRAINED_FEATURES}


def test_only_the_popular_channels_have_no_votes() -> None:
    assert set(CHANNELS) - set(VOTING_CHANNELS) == {"popular", "popular_30d"}


def test_the_columns_of_the_first_release_have_its_schema_and_are_all_still_computed() -> None:
    assert schema_of(FIRST_RELEASE) == FIRST_RELEASE_SCHEMA
    assert set(FIRST_RELEASE) <= set(FEATURES)


def test_this_releases_schema_and_the_first_ones_are_readable() -> None:
    assert {FEATURE_SCHEMA, FIRST_RELEASE_SCHEMA} == READABLE_SCHEMAS
    assert schema_of(TRAINED_FEATURES) == FEATURE_SCHEMA


@pytest.mark.parametrize("change", ["order", "name", "default", "type", "fewer"])
def test_the_schema_changes_with_the_order_and_with_each_name_type_and_default(change: str) -> None:
    first, second, *others = TRAINED_FEATURES
    changed = {
        "order": (second, first, *others),
        "name": (Feature("another"), second, *others),
        "default": (Feature(first.name, default=1.0), second, *others),
        "type": (Feature(first.name, dtype="float64"), second, *others),
        "fewer": (second, *others),
    }[change]
    assert schema_of(changed) != FEATURE_SCHEMA
