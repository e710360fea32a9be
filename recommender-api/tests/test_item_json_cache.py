"""The JSON of an item is written once, and no answer waits for the cache to grow."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from ranking.catalogue import Catalogue
from recommender_api.models.item_json_cache import ItemJsonCache

COUNT = 300


@pytest.fixture(params=["built", "loaded", "text ids"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Catalogue:
    """Datasets whose cards are as long as their texts allow."""
    built = Catalogue(
        np.arange(COUNT) + (2**63 - COUNT),
        ["各城市空气质量 " * (number % 9) for number in range(COUNT)],
        np.full(COUNT, 1.2345678901234567e-100),
        [None if number % 3 else f"https://img.example.com/{number}.png" for number in range(COUNT)],
        [[] for _ in range(COUNT)],
        [None] * COUNT,
        [f"数据/{number}" * 9 for number in range(COUNT)] if request.param == "text ids" else None,
    )
    if request.param == "built":
        return built
    built.save(tmp_path / "items.parquet")
    return Catalogue.load(tmp_path / "items.parquet")


def test_there_is_room_for_all_cards_from_the_start(catalogue: Catalogue) -> None:
    cards = ItemJsonCache(catalogue)
    text, _ = cards.written.arrays
    written = cards.up_to_score(np.arange(COUNT, dtype=np.int32))
    assert cards.written.arrays[0] is text
    card = orjson.loads(written[-1][1:] + b"0}")
    named = {} if catalogue.external_ids is None else {"external_id": f"数据/{COUNT - 1}" * 9}
    assert card == named | {
        "dataset_id": 2**63 - 1,
        "title": catalogue.titles[COUNT - 1],
        "price": 1.2345678901234567e-100,
        "cover_image": catalogue.cover_images[COUNT - 1],
        "score": 0,
    }
