"""Importers: what they understand, and every bad row by file and line."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.importers import IMPORTERS, csv_files, movietweetings

MOVIES = "0001::First Film (2013)::Drama|War\n0002::Second: the Film (1999)::\n"
RATINGS = "7::0001::10::1365029107\n8::0002::7::1365029108\n7::0002::3::1365029106\n"


def movie_folder(folder: Path, movies: str = MOVIES, ratings: str = RATINGS) -> Path:
    (folder / "movies.dat").write_text(movies, encoding="utf-8")
    (folder / "ratings.dat").write_text(ratings, encoding="utf-8")
    return folder


def csv_folder(folder: Path, datasets: str, interactions: str) -> Path:
    (folder / "datasets.csv").write_text(datasets, encoding="utf-8")
    (folder / "interactions.csv").write_text(interactions, encoding="utf-8")
    return folder


def test_films_become_datasets_and_ratings_interactions_in_time(tmp_path: Path) -> None:
    content = movietweetings.read(movie_folder(tmp_path))
    first, second = content.datasets.to_pylist()
    assert (first["external_id"], first["title"], first["tags"]) == ("0001", "First Film (2013)", "Drama;War;2010s")
    assert (second["tags"], second["price"]) == ("1990s", 0.0)
    assert first["created_at"] == datetime.fromtimestamp(1365029107, UTC)
    rows = content.interactions.to_pylist()
    assert [(row["user"], row["dataset"], row["type"]) for row in rows] == [
        (0, 1, "view"),
        (0, 0, "purchase"),
        (1, 1, "favorite"),
    ]
    assert content.users["external_id"].to_pylist() == ["7", "8"]


@pytest.mark.parametrize(
    ("movies", "ratings", "message"),
    [
        (MOVIES + "0003:Third\n", RATINGS, "movies.dat:3: 1 fields, expected imdb_id::title (year)::genres"),
        (MOVIES + "0001::Again (2013)::\n", RATINGS, "movies.dat:3: imdb_id '0001' appears twice"),
        (MOVIES, RATINGS + "9::0001::11::1\n", "ratings.dat:4: rating '11' is not a whole number from 0 to 10"),
        (MOVIES, RATINGS + "9::0001::5::soon\n", "ratings.dat:4: unix_time 'soon'"),
        (MOVIES, RATINGS + "9::0009::5::1\n", "ratings.dat:4: imdb_id '0009' is not in movies.dat"),
        (MOVIES, RATINGS + "9::0001::5\n", "ratings.dat:4: 3 fields"),
    ],
)
def test_a_bad_row_of_movietweetings_is_named(tmp_path: Path, movies: str, ratings: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        movietweetings.read(movie_folder(tmp_path, movies, ratings))
    assert message in str(refused.value)


def test_a_missing_file_and_other_bytes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"movies\.dat: not in"):
        movietweetings.read(tmp_path)
    movie_folder(tmp_path)
    (tmp_path / "ratings.dat").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"ratings\.dat: can't be read as UTF-8"):
        movietweetings.read(tmp_path)


DATASETS = 'id,title,tags,price,created_at\na1,"Bus, GPS",transport;gps,9.5,2026-01-01\nb-2,Rain,,,\n'
INTERACTIONS = (
    "user_id,dataset_id,type,ts,price\nu1,a1,view,2026-01-02T03:04:05+08:00,\nu2,b-2,purchase,1767323045.5,3\n"
)


def test_csv_columns_may_stand_in_any_order_and_ids_may_be_any_text(tmp_path: Path) -> None:
    content = csv_files.read(csv_folder(tmp_path, DATASETS, INTERACTIONS))
    first, second = content.datasets.to_pylist()
    assert (first["external_id"], first["title"], first["price"]) == ("a1", "Bus, GPS", 9.5)
    assert first["created_at"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert (second["price"], second["tags"], second["description"]) == (0.0, None, None)
    assert [row["ts"] for row in content.interactions.to_pylist()] == [
        datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC),
        datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC),
    ]
    assert second["created_at"] == datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("datasets", "interactions", "message"),
    [
        (DATASETS + "c,\n", INTERACTIONS, "datasets.csv:4: 2 values, the header has 5 columns"),
        (DATASETS + "c,,,,\n", INTERACTIONS, "datasets.csv:4: title is empty"),
        (DATASETS + "a1,Again,,,\n", INTERACTIONS, "datasets.csv:4: id 'a1' appears twice"),
        (DATASETS + "c,C,,-1,\n", INTERACTIONS, "datasets.csv:4: price '-1' is not a number from 0 on"),
        (DATASETS + "c,C,,nan,\n", INTERACTIONS, "datasets.csv:4: price 'nan'"),
        (DATASETS + "c,C,,,yesterday\n", INTERACTIONS, "datasets.csv:4: created_at 'yesterday' is neither ISO 8601"),
        (DATASETS, INTERACTIONS + "u1,a1,like,1,\n", "interactions.csv:4: type 'like' is none of click, view"),
        (DATASETS, INTERACTIONS + "u1,zz,view,1,\n", "interactions.csv:4: dataset_id 'zz' is not in datasets.csv"),
        (DATASETS, INTERACTIONS + ",a1,view,1,\n", "interactions.csv:4: user_id is empty"),
        (
            DATASETS,
            INTERACTIONS + "u1,a1,view,1767323045000,\n",
            "interactions.csv:4: ts '1767323045000' is not a time",
        ),
        ("id,name\n", INTERACTIONS, "datasets.csv:1: the header lacks title; it has id, name"),
        ("id,title,colour\n", INTERACTIONS, "datasets.csv:1: unknown column colour"),
        ("", INTERACTIONS, "datasets.csv:1: the header lacks id, title; it has nothing"),
        (DATASETS, 'user_id,dataset_id,type,ts\nu1,"a1,view,1', "interactions.csv:2: not CSV"),
    ],
)
def test_a_bad_row_of_csv_is_named(tmp_path: Path, datasets: str, interactions: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        csv_files.read(csv_folder(tmp_path, datasets, interactions))
    assert message in str(refused.value)


def test_many_bad_rows_are_counted_and_the_first_twenty_shown(tmp_path: Path) -> None:
    bad = "".join(f"u1,a1,like{number},1,\n" for number in range(50))
    with pytest.raises(InputError) as refused:
        csv_files.read(csv_folder(tmp_path, DATASETS, INTERACTIONS + bad))
    lines = str(refused.value).splitlines()
    assert lines[0] == "50 bad rows; nothing was loaded"
    assert (lines[1].split(":")[1], lines[20].split(":")[1], lines[-1]) == ("4", "23", "… and 30 more")


def test_the_line_is_that_of_the_file_also_after_a_field_with_line_breaks(tmp_path: Path) -> None:
    datasets = 'id,title\na1,"two\nlines"\na1,again\n'
    with pytest.raises(InputError, match=r"datasets\.csv:4: id 'a1' appears twice"):
        csv_files.read(csv_folder(tmp_path, datasets, INTERACTIONS))


def test_the_real_movietweetings_are_read_whole() -> None:
    if not (real := os.environ.get("REAL_DATA_DIR")):
        pytest.skip("REAL_DATA_DIR is not set: the tests on real data were left out")
    content = IMPORTERS["movietweetings"](Path(real) / "movietweetings-100k")
    assert (len(content.users), len(content.datasets), len(content.interactions)) == (16_554, 10_506, 100_000)
