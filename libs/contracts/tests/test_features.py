"""The ranker's columns are one agreed list."""

import pytest

from contracts import features
from contracts.features import CHANNELS, FEATURES, ITEM_FEATURES, USER_FEATURES, schema_hash


def test_there_are_thirty_columns_with_unique_names() -> None:
    assert len(FEATURES) == len({feature.name for feature in FEATURES}) == 30


def test_item_and_user_features_and_both_columns_of_each_channel_are_among_them() -> None:
    names = [feature.name for feature in FEATURES]
    wanted = [f.name for f in (*ITEM_FEATURES, *USER_FEATURES)]
    wanted += [f"{kind}_{channel}" for channel in CHANNELS for kind in ("score", "rank")]
    assert set(wanted) <= set(names)


@pytest.mark.parametrize("change", ["order", "name", "default"])
def test_the_schema_hash_changes_with_order_name_and_default(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema_hash()
    first, second, *others = FEATURES
    changed = {
        "order": (second, first, *others),
        "name": (features.Feature("another"), second, *others),
        "default": (features.Feature(first.name, default=1.0), second, *others),
    }[change]
    monkeypatch.setattr(features, "FEATURES", changed)
    assert schema_hash() != before
