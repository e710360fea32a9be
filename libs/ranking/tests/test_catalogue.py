"""A catalogue that was read from a file equals the one that was written, and finds datasets by tag in the same way."""

from pathlib import Path

import numpy as np
import pytest

from ranking.catalogue import Catalogue

MADE = Catalogue(
    np.array([3, 5, 8, 13]),
    ["Wind", "Rain", "Frost", "Fog"],
    np.array([1.0, 2.5, 0.0, 9.99]),
    ["https://img.example.com/3.png", None, None, "https://img.example.com/13.png"],
    [["Weather", "hourly"], [], ["WEATHER"], ["Straße", "weather", "hourly"]],
    ["Met", "Met", None, "Harbour"],
)


@pytest.fixture
def read(tmp_path: Path) -> Catalogue:
    """The same catalogue, read from a file."""
    MADE.save(tmp_path / "items.parquet")
    return Catalogue.load(tmp_path / "items.parquet")


def test_a_catalogue_is_read_as_it_was_written(read: Catalogue) -> None:
    for name in ("titles", "cover_images", "tags", "providers"):
        made, column = getattr(MADE, name), getattr(read, name)
        assert list(column) == made
        assert [column[position] for position in range(len(made))] == made
        assert (column[1:3], column[-1], len(column)) == (made[1:3], made[-1], len(made))
        with pytest.raises(IndexError):
            column[len(made)]
    np.testing.assert_array_equal(read.prices, MADE.prices)


def test_a_catalogue_from_a_file_can_be_written_again_and_restricted(read: Catalogue, tmp_path: Path) -> None:
    read.only(np.array([1, 3])).save(tmp_path / "again.parquet")
    again = Catalogue.load(tmp_path / "again.parquet")
    assert (list(again.titles), list(again.tags)) == (["Rain", "Fog"], [[], ["Straße", "weather", "hourly"]])


@pytest.mark.parametrize(
    ("tag", "positions"),
    [("weather", [0, 2, 3]), ("Hourly", [0, 3]), ("STRASSE", [3]), ("daily", []), ("", [])],
)
def test_a_tag_finds_its_datasets_in_ascending_order_whatever_its_case(
    read: Catalogue, tag: str, positions: list[int]
) -> None:
    assert MADE.tagged(tag).tolist() == read.tagged(tag).tolist() == positions
    assert read.tagged(tag).dtype == np.int32


def test_a_catalogue_without_tags_or_datasets_finds_none() -> None:
    untagged = Catalogue(MADE.ids, MADE.titles, MADE.prices, MADE.cover_images, [[]] * 4, MADE.providers)
    assert untagged.tagged("weather").tolist() == []
    assert MADE.only(np.empty(0, np.int64)).tagged("weather").tolist() == []


@pytest.mark.parametrize(
    "ids",
    [[], [7], [5, 6, 7, 8], [1, 2, 3, 90], [1, 88, 89, 90], [3, 5, 8, 13, 21, 34, 55, 89], [-4, -1, 0, 2]],
    ids=["none", "one", "without a gap", "a gap at the end", "a gap at the start", "ever larger gaps", "negative"],
)
def test_a_dataset_is_found_by_its_id_and_no_other(ids: list[int]) -> None:
    n = len(ids)
    catalogue = Catalogue(np.array(ids, np.int64), [""] * n, np.zeros(n), [None] * n, [[]] * n, [None] * n)
    asked = [*range(-10, 100), -(2**63), 2**63 - 1]
    expected = [ids.index(each) if each in ids else None for each in asked]
    assert [catalogue.position(each) for each in asked] == expected
    assert catalogue.positions(np.array(asked)).tolist() == [-1 if each is None else each for each in expected]


def test_a_dataset_of_a_catalogue_from_a_file_is_found(read: Catalogue) -> None:
    assert [read.position(dataset_id) for dataset_id in (3, 5, 8, 13, 4)] == [0, 1, 2, 3, None]
