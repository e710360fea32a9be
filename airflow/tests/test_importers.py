"""Importers: accepted files, and faults, each named by file, line, column and value, all in one run."""

import json
import os
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contracts.ids import hash_id
from pipeline.business.content import Content
from pipeline.errors import InputError
from pipeline.importers import parquet_files
from pipeline.importers.bad_rows import BadRows, FileFaults
from pipeline.importers.rows import DATASET_COLUMNS
from pipeline.importers.sources import ImportOptions, find_source, read_source

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")

MOVIES = "0001::First Film (2013)::Drama|War\n0002::Second: the Film (1999)::\n"
RATINGS = "7::0001::10::1365029107\n8::0002::7::1365029108\n7::0002::3::1365029106\n"

DATASETS = 'id,title,tags,price,created_at\na1,"Bus, GPS",transport;gps,9.5,2026-01-01\nb-2,Rain,,,\n'
INTERACTIONS = (
    "user_id,dataset_id,type,ts,price\nu1,a1,view,2026-01-02T03:04:05+08:00,\nu2,b-2,purchase,1767323045.5,3\n"
)


def movie_folder(folder: Path, movies: str = MOVIES, ratings: str = RATINGS) -> Path:
    (folder / "movies.dat").write_text(movies, encoding="utf-8")
    (folder / "ratings.dat").write_text(ratings, encoding="utf-8")
    return folder


def csv_folder(folder: Path, datasets: str | bytes, interactions: str | bytes = INTERACTIONS) -> Path:
    for name, text in (("datasets.csv", datasets), ("interactions.csv", interactions)):
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def read(folder: Path, source: str = "csv", **options: Any) -> Content:
    return read_source(source, folder, ImportOptions(NOW, **options)).content


def faults(folder: Path, source: str = "csv", **options: Any) -> list[str]:
    with pytest.raises(InputError) as refused:
        read(folder, source, **options)
    return str(refused.value).splitlines()


def test_films_become_datasets_and_ratings_interactions_in_time(tmp_path: Path) -> None:
    content = read(movie_folder(tmp_path), "movietweetings")
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
        (MOVIES + "0001::Again (2013)::\n", RATINGS, "movies.dat:3: id '0001' appears twice, first in line 1"),
        (MOVIES, RATINGS + "9::0001::11::1\n", "ratings.dat:4: rating '11' is not a whole number from 0 to 10"),
        (MOVIES, RATINGS + "9::0001::5::soon\n", "ratings.dat:4: ts 'soon'"),
        (MOVIES, RATINGS + "9::0009::5::1365029107\n", "ratings.dat:4: dataset_id '0009' is not in movies.dat"),
        (MOVIES, RATINGS + "9::0001::5\n", "ratings.dat:4: 3 fields"),
    ],
)
def test_a_bad_row_of_movietweetings_is_named(tmp_path: Path, movies: str, ratings: str, message: str) -> None:
    assert message in "\n".join(faults(movie_folder(tmp_path, movies, ratings), "movietweetings"))


def test_missing_files_are_all_named_and_existing_ones_listed(tmp_path: Path) -> None:
    (tmp_path / "Datasets.CSV").touch()
    _, *lines = faults(tmp_path)
    assert [line.split(":")[0] for line in lines] == ["datasets.csv", "interactions.csv"]
    assert "there is 'Datasets.CSV'" in lines[0]


def test_csv_columns_may_stand_in_any_order_and_ids_may_be_any_text(tmp_path: Path) -> None:
    content = read(csv_folder(tmp_path, DATASETS, INTERACTIONS))
    first, second = content.datasets.to_pylist()
    assert (first["external_id"], first["title"], first["price"]) == ("a1", "Bus, GPS", 9.5)
    assert first["created_at"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert (second["price"], second["tags"], second["description"]) == (0.0, None, None)
    assert [row["ts"] for row in content.interactions.to_pylist()] == [
        datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC),
        datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC),
    ]
    assert second["created_at"] == datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)


def test_users_may_come_with_columns_of_their_own_and_others_with_their_first_interaction(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id,company_name,city\nu2,Rain AG,上海\nu9,,\n", encoding="utf-8")
    users = read(csv_folder(tmp_path, DATASETS)).users.to_pylist()
    assert [(user["external_id"], user["company_name"], user["city"]) for user in users] == [
        ("u2", "Rain AG", "上海"),
        ("u9", None, None),
        ("u1", None, None),
    ]
    assert users[2]["created_at"] == datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("datasets", "interactions", "message"),
    [
        (DATASETS + "c,\n", INTERACTIONS, "datasets.csv:4: 2 values, the header has 5 columns"),
        (DATASETS + "c,,,,\n", INTERACTIONS, "datasets.csv:4: title '' is empty"),
        (DATASETS + "a1,Again,,,\n", INTERACTIONS, "datasets.csv:4: id 'a1' appears twice, first in line 2"),
        (DATASETS + "c,C,,-1,\n", INTERACTIONS, "datasets.csv:4: price '-1' is not a price"),
        (DATASETS + "c,C,,nan,\n", INTERACTIONS, "datasets.csv:4: price 'nan' is not a price"),
        (DATASETS + "c,C,,1_000,\n", INTERACTIONS, "datasets.csv:4: price '1_000' is not a price"),
        (DATASETS + 'c,C,,"1,234.50",\n', INTERACTIONS, "separators; write 1234.50"),
        (DATASETS + "c,C,,¥99,\n", INTERACTIONS, "datasets.csv:4: price '¥99' is not a price"),
        (DATASETS + "c,C,,¥99,\n", INTERACTIONS, "; write 99"),
        (DATASETS + "c,C,,,yesterday\n", INTERACTIONS, "datasets.csv:4: created_at 'yesterday' is neither ISO 8601"),
        (DATASETS + "c,C,,,2026-03-05\n", INTERACTIONS, "datasets.csv:4: created_at '2026-03-05' lies in the future"),
        (DATASETS + f"c,C,{'t' * 65},,\n", INTERACTIONS, "hold a tag of 65 characters, the maximum is 64"),
        (DATASETS + f'c,C,"{"a,b" * 30}",,\n', INTERACTIONS, "the maximum is 64; tags are separated by `;`"),
        (DATASETS + f"c,C,{';'.join(map(str, range(101)))},,\n", INTERACTIONS, "are 101 tags, the maximum is 100"),
        (DATASETS + f"c,{'x' * 200_000},,,\n", INTERACTIONS, "has 200,000 characters, the maximum is 500"),
        (DATASETS + f"c,{'x' * 1_200_000},,,\nd,,,,\n", INTERACTIONS, "datasets.csv:4: a line of more than 1,000,000"),
        (DATASETS + f"c,{'x' * 1_200_000},,,\nd,,,,\n", INTERACTIONS, "datasets.csv:5: title '' is empty"),
        (DATASETS + "c,Bus\0GPS,,,\n", INTERACTIONS, r"datasets.csv:4: title 'Bus\x00GPS' holds a NUL character"),
        (DATASETS + "c,C\ufeff,,,\n", INTERACTIONS, "datasets.csv:4: title 'C\\ufeff' holds a byte order mark"),
        (DATASETS + "id,title,tags,price,created_at\n", INTERACTIONS, "datasets.csv:4: repeats the header"),
        (DATASETS + "\ufeffid,title,tags,price,created_at\n", INTERACTIONS, "datasets.csv:4: repeats the header"),
        (
            DATASETS + "9.91214E+15,C,,,\n",
            INTERACTIONS,
            "datasets.csv:4: id '9.91214E+15' is not usable: a number with",
        ),
        (DATASETS, INTERACTIONS + "u1,a1,like,1767323045,\n", "type 'like' is none of click, view, favorite, purchase"),
        (DATASETS, INTERACTIONS + "u1,a1,buy,1767323045,\n", "; if it means the same, write purchase"),
        (DATASETS, INTERACTIONS + "u1,a1,View,1767323045,\n", "; write view"),
        (DATASETS, INTERACTIONS + "u1,zz,view,1767323045,\n", "4: dataset_id 'zz' is not in datasets.csv"),
        (DATASETS, INTERACTIONS + ",a1,view,1767323045,\n", "interactions.csv:4: user_id '' is empty"),
        (DATASETS, INTERACTIONS + "u1,a1,view,1767323045000,\n", "ts '1767323045000' looks like Unix milliseconds"),
        (DATASETS, INTERACTIONS + "u1,a1,view,2026,\n", "interactions.csv:4: ts '2026' is neither ISO 8601"),
        (DATASETS, INTERACTIONS + "u1,a1,view,46000,\n", "ts '46000' looks like a spreadsheet's number of days"),
        (DATASETS, INTERACTIONS + "u1,a1,view,1970-01-01,\n", "ts '1970-01-01' lies before 1970-01-02"),
        (DATASETS, INTERACTIONS + "u1,a1,view,2026-03-05,\n", "interactions.csv:4: ts '2026-03-05' lies in the future"),
        ("id,\n", INTERACTIONS, "datasets.csv: the header lacks title; it has 'id', ''"),
        ("id,title,colour\n", INTERACTIONS, "datasets.csv:1: unknown column 'colour'; known are id, title"),
        ("id,Title\na1,Bus\nb-2,Rain\n", INTERACTIONS, "datasets.csv:1: unknown column 'Title'; rename it to title"),
        ("id,title,title\n", INTERACTIONS, "datasets.csv:1: the column title appears twice"),
        ("", INTERACTIONS, "datasets.csv: the header lacks id, title; it has nothing"),
        ("id;title\na1;Bus\nb-2;Rain\n", INTERACTIONS, "datasets.csv:1: separated by semicolons; save it separated by"),
        ("id\ttitle\na1\tBus\nb-2\tRain\n", INTERACTIONS, "datasets.csv:1: separated by tabs"),
        ("sep=,\n" + DATASETS, INTERACTIONS, "datasets.csv:1: a line `sep=` of a spreadsheet; delete it"),
        (DATASETS, 'user_id,dataset_id,type,ts\nu1,"a1,view,1', "interactions.csv:2: a quote opens here that is never"),
        (DATASETS + 'c,"C" x,,,\n', INTERACTIONS, "datasets.csv:4: not CSV (',' expected after '\"')"),
        (b"PK\x03\x04rest", INTERACTIONS, "datasets.csv: is not text but a workbook"),
        (b"\xff\xfei\0d\0,\0t\0\n\0", INTERACTIONS, "datasets.csv: is UTF-16 ('Unicode Text' of a spreadsheet)"),
        ("id,title\na1,Bus\n".encode("utf-16-le"), INTERACTIONS, "or set ENCODING=utf-16"),
        (
            "id,title\na1,Bus\nb-2,北京\n".encode("gb18030"),
            INTERACTIONS,
            "datasets.csv: not UTF-8 (line 3); saved by Excel? choose 'CSV UTF-8', or set ENCODING=gb18030",
        ),
    ],
)
def test_a_bad_row_of_csv_is_the_only_named_one(
    tmp_path: Path, datasets: str | bytes, interactions: str, message: str
) -> None:
    assert message in "\n".join(faults(csv_folder(tmp_path, datasets, interactions)))


@pytest.mark.parametrize(
    "datasets",
    [
        "id,title\na1,Bus\nb-2,Rain\n",
        "\ufeffid,title\na1,Bus\nb-2,Rain\n",
        "id,title\r\na1,Bus\r\nb-2,Rain\r\n",
        "id,title\ra1,Bus\rb-2,Rain\r",
        "id,title\na1,Bus\n,\n\nb-2,Rain\n , \n",
        'title,id\n"Bus",a1\n Rain , b-2 \n',
    ],
)
def test_byte_order_mark_line_ends_empty_lines_and_space_around_cells_do_no_harm(tmp_path: Path, datasets: str) -> None:
    rows = read(csv_folder(tmp_path, datasets)).datasets.to_pylist()
    assert [(row["external_id"], row["title"]) for row in rows] == [("a1", "Bus"), ("b-2", "Rain")]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "big5"])
def test_another_encoding_is_read_if_it_is_named(tmp_path: Path, encoding: str) -> None:
    folder = csv_folder(tmp_path, DATASETS.replace("Rain", "北京").encode(encoding), INTERACTIONS.encode(encoding))
    assert read(folder, encoding=encoding).datasets["title"].to_pylist() == ["Bus, GPS", "北京"]


def test_a_file_in_utf_8_is_not_garbled_by_another_encoding(tmp_path: Path) -> None:
    folder = csv_folder(tmp_path, DATASETS.replace("Rain", "北京公交"))
    assert faults(folder, encoding="gb18030")[1].startswith("datasets.csv: is UTF-8, but ENCODING=gb18030")


def test_interactions_with_a_bad_dataset_are_not_faults(tmp_path: Path) -> None:
    lines = faults(csv_folder(tmp_path, DATASETS.replace("9.5", "-1")))
    assert lines[0] == "1 bad row; nothing was loaded"
    lines = faults(csv_folder(tmp_path, b"PK\x03\x04"))
    assert lines[0] == "1 bad row; nothing was loaded"


def test_after_an_unbalanced_quote_reading_continues_with_the_next_line(tmp_path: Path) -> None:
    bad = 'u1,"a1,view,1767323045,\n' + "u1,a1,view,1767323045,\n" * 30 + 'u1,a1,like,1767323045,"3"\n'
    _, *lines = faults(csv_folder(tmp_path, DATASETS, INTERACTIONS + bad))
    assert [line.split(":")[1] for line in lines] == ["4", "35"]
    assert "a quote opens here" in lines[0]


def test_all_rows_are_checked_and_the_first_hundred_faults_are_shown_with_total_counts(tmp_path: Path) -> None:
    bad = "".join(f"u1,a1,like{number},1,\n" for number in range(150))
    lines = faults(csv_folder(tmp_path, DATASETS, INTERACTIONS + bad))
    assert lines[0] == "150 bad rows; nothing was loaded"
    assert (lines[1].split(":")[1], lines[100].split(":")[1], lines[101]) == ("4", "53", "… and 200 more")
    assert lines[102:] == [
        "interactions.csv: type: 150 × unknown type, first in line 4",
        "interactions.csv: ts: 150 × not a time, first in line 4",
    ]


def test_line_numbers_are_right_after_a_field_with_line_breaks(tmp_path: Path) -> None:
    datasets = 'id,title\na1,"two\nlines"\na1,again\n'
    assert faults(csv_folder(tmp_path, datasets))[1].startswith("datasets.csv:4: id 'a1' appears twice")


def test_control_characters_of_a_terminal_are_shown_escaped(tmp_path: Path) -> None:
    text = "\n".join(faults(csv_folder(tmp_path, DATASETS, INTERACTIONS + "u1,a1,\x1b[2J\u202e\x9b,1767323045,\n")))
    assert text.replace("\n", "").isprintable()
    assert r"\x1b[2J" in text


def test_local_times_in_the_future_are_reported_with_their_difference(tmp_path: Path) -> None:
    ahead = "".join(f"u1,a1,view,2026-03-01 {hour}:00:00,\n" for hour in (11, 15, 20))
    folder = csv_folder(tmp_path, DATASETS, INTERACTIONS + ahead)
    lines = faults(folder)
    assert lines[0] == "2 bad rows; nothing was loaded"
    assert lines[-1] == (
        "interactions.csv: 2 × up to 8.0 h ahead: is `ts` local time? Add its offset (as +08:00), "
        "or set TIMEZONE=Asia/Shanghai"
    )
    assert max(read(folder, zone=SHANGHAI).interactions["ts"].to_pylist()) == NOW


def test_a_repeated_hour_is_the_first_one_and_a_skipped_hour_is_rejected(tmp_path: Path) -> None:
    rows = "user_id,dataset_id,type,ts\nu1,a1,view,2025-10-26 02:30:00\nu1,a1,view,2025-03-30 02:30:00\n"
    berlin = ZoneInfo("Europe/Berlin")
    (line,) = faults(csv_folder(tmp_path, DATASETS, rows), zone=berlin)[1:]
    assert line.startswith(
        "interactions.csv:3: ts '2025-03-30 02:30:00' is a time that clocks in Europe/Berlin skipped"
    )
    content = read(csv_folder(tmp_path, DATASETS, "\n".join(rows.splitlines()[:2])), zone=berlin)
    assert content.interactions["ts"].to_pylist() == [datetime(2025, 10, 26, 0, 30, tzinfo=UTC)]


def test_a_date_of_eight_digits_is_a_date_in_each_format(tmp_path: Path) -> None:
    folder = csv_folder(tmp_path, DATASETS, "user_id,dataset_id,type,ts\nu1,a1,view,20260131\n")
    write_jsonl(folder, "datasets", [{"id": "a1", "title": "Bus"}])
    write_jsonl(folder, "interactions", [{"user_id": 1, "dataset_id": "a1", "type": "view", "ts": 20260131}])
    for source in ("csv", "jsonl"):
        assert read(folder, source).interactions["ts"].to_pylist() == [datetime(2026, 1, 31, tzinfo=UTC)]


def test_two_ids_that_stand_for_one_number_are_rejected_and_both_named(tmp_path: Path) -> None:
    number = hash_id("SKU-77", "dataset")
    lines = faults(csv_folder(tmp_path, f"id,title\nSKU-77,One\n{number},Two\na1,A\nb-2,B\n"))
    assert lines[1] == (
        f"datasets.csv: the dataset ids 'SKU-77' and '{number}' stand for the same number; rename one of them"
    )


def write_jsonl(folder: Path, table: str, rows: Iterable[Mapping[str, object]]) -> None:
    (folder / f"{table}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def write_parquet(folder: Path, table: str, columns: Mapping[str, object]) -> None:
    pq.write_table(pa.table(columns), folder / f"{table}.parquet")


def test_the_three_formats_of_the_same_rows_give_the_same_content(tmp_path: Path) -> None:
    csv_folder(
        tmp_path,
        "id,title,tags,price,created_at\n7,Bus,a;b,9.5,2026-01-01\nx-1,Rain,,,\n",
        "user_id,dataset_id,type,ts,price\n5,7,view,2026-01-02T03:04:05Z,\nu,x-1,purchase,1767323045,3\n",
    )
    write_jsonl(
        tmp_path,
        "datasets",
        [
            {"id": 7, "title": "Bus", "tags": ["a", " b "], "price": 9.5, "created_at": "2026-01-01"},
            {"id": "x-1", "title": "Rain", "tags": None},
        ],
    )
    write_jsonl(
        tmp_path,
        "interactions",
        [
            {"user_id": 5, "dataset_id": "7", "type": "view", "ts": "2026-01-02T03:04:05Z"},
            {"user_id": "u", "dataset_id": "x-1", "type": "purchase", "ts": 1767323045, "price": 3},
        ],
    )
    write_parquet(
        tmp_path,
        "datasets",
        {
            "id": pa.array(["7", "x-1"]).dictionary_encode(),
            "title": pa.array(["Bus", "Rain"], pa.large_string()),
            "tags": [["a", "b"], None],
            "price": [Decimal("9.50"), None],
            "created_at": [date(2026, 1, 1), None],
        },
    )
    write_parquet(
        tmp_path,
        "interactions",
        {
            "user_id": ["5", "u"],
            "dataset_id": [b"7", b"x-1"],
            "type": ["view", "purchase"],
            "ts": pa.array([1767323045_000_000_000] * 2, pa.timestamp("ns")),
            "price": pa.array([None, 3.0]),
        },
    )
    first, *others = [read(tmp_path, source) for source in ("csv", "jsonl", "parquet")]
    for other in others:
        assert other.datasets.equals(first.datasets)
        assert other.users.equals(first.users)
        assert other.interactions.equals(first.interactions)


def test_a_parquet_time_without_a_zone_is_local(tmp_path: Path) -> None:
    write_parquet(tmp_path, "datasets", {"id": [1], "title": ["A"]})
    moment = datetime(2026, 1, 2, 8, tzinfo=timezone(timedelta(hours=8)))
    for ts in (pa.array([moment], pa.timestamp("ms", "Asia/Shanghai")), pa.array([moment.replace(tzinfo=None)])):
        write_parquet(tmp_path, "interactions", {"user_id": [1], "dataset_id": [1], "type": ["view"], "ts": ts})
        assert read(tmp_path, "parquet", zone=SHANGHAI).interactions["ts"].to_pylist() == [moment]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "datasets.jsonl:2: is [1], not an object"),
        ("{", "datasets.jsonl:2: is not a JSON object"),
        ("[" * 100_000, "datasets.jsonl:2: is nested too deeply"),
        ('{"id": 1e400, "title": "A"}', "datasets.jsonl:2: id inf is not usable"),
        ('{"id": 7, "title": "A", "price": NaN}', "datasets.jsonl:2: price nan is not a finite number"),
        ('{"id": true, "title": "A"}', "datasets.jsonl:2: id True is not usable: an id is a whole number or a text"),
        ('{"id": 1.0, "title": "A"}', "datasets.jsonl:2: id 1.0 is not usable"),
        ('{"id": 7, "title": "\\ud800"}', r"datasets.jsonl:2: title '\ud800' holds the character U+D800"),
        ('{"id": 7, "title": 5}', "datasets.jsonl:2: title 5 is not a text"),
        ('{"id": 7, "title": "A", "tags": [1]}', "datasets.jsonl:2: tags [1] is not a text"),
        ('{"id": 7, "title": "A", "tags": ["a;b"]}', "hold a tag with a `;`"),
        ('{"id": 7, "title": "A", "price": {}}', "datasets.jsonl:2: price {} is not a price; write a number"),
        ('{"id": 7, "title": "A", "created_at": []}', "datasets.jsonl:2: created_at [] is not a time"),
        ('{"id": 7, "title": "A", "colour": 1}', "datasets.jsonl:2: unknown field 'colour'"),
        ('{"id": 7, "id": 8, "title": "A"}', "a field appears twice"),
        ('{"id": ' + "9" * 5000 + ', "title": "A"}', "datasets.jsonl:2: is not a JSON object"),
        ('{"title": "A"}', "datasets.jsonl:2: id (no value) is empty"),
    ],
)
def test_a_bad_line_of_jsonl_is_the_only_named_one(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "datasets.jsonl").write_text('{"id": 1, "title": "One"}\n' + line + "\n", encoding="utf-8")
    write_jsonl(tmp_path, "interactions", [])
    lines = faults(tmp_path, "jsonl")
    assert message in "\n".join(lines)
    assert lines[0] == "1 bad row; nothing was loaded"


def test_a_json_array_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "datasets.jsonl").write_text('[\n{"id": 1, "title": "One"}\n]\n', encoding="utf-8")
    write_jsonl(tmp_path, "interactions", [{"user_id": 1, "dataset_id": 1, "type": "view", "ts": "2026-01-01"}])
    assert faults(tmp_path, "jsonl")[1:] == ["datasets.jsonl: is a JSON array; write one object a line (`jq -c '.[]'`)"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [1, 0]}, "datasets.parquet:2: id 0 is not usable: a numeric id lies between 1"),
        ({"id": pa.array([1, 2**64 - 1], pa.uint64())}, "datasets.parquet:2: id 18446744073709551615 is not usable"),
        ({"id": [1.0, 2.0]}, "datasets.parquet:1: id 1.0 is not usable: an id is a whole number or a text"),
        ({"price": [1.0, float("nan")]}, "datasets.parquet:2: price nan is not a finite number"),
        (
            {"title": pa.array([b"A", b"\xff"]).view(pa.utf8())},
            r"datasets.parquet:2: title b'\xff' is not a text in UTF-8",
        ),
        (
            {"created_at": pa.array([0, 2**62], pa.timestamp("us"))},
            "datasets.parquet:2: created_at '4611686018427387904 us after 1970' is neither",
        ),
        (
            {"created_at": pa.array([0, 2**31 - 1], pa.int32()).view(pa.date32())},
            "datasets.parquet:2: created_at '2147483647 days after 1970' is neither",
        ),
        ({"created_at": [date(2026, 1, 1), date(2026, 4, 1)]}, "2: created_at 2026-04-01 lies in the future"),
        ({"price": [Decimal(1), Decimal(-1)]}, "2: price -1 lies outside of 0 to 1e+12"),
        ({"created_at": pa.array([1, 2], pa.duration("s"))}, "datasets.parquet:1: created_at"),
        ({"tags": [{"a": 1}, None]}, "datasets.parquet:1: tags {'a': 1} are not tags"),
        ({"__index_level_0__": [0, 1]}, "datasets.parquet: unknown column '__index_level_0__'"),
    ],
)
def test_a_bad_row_of_parquet_is_named(tmp_path: Path, columns: Mapping[str, object], message: str) -> None:
    write_parquet(tmp_path, "datasets", {"id": [1, 2], "title": ["A", "B"]} | columns)
    write_parquet(
        tmp_path, "interactions", {name: pa.array([], pa.string()) for name in ("user_id", "dataset_id", "type", "ts")}
    )
    assert message in "\n".join(faults(tmp_path, "parquet"))


def test_a_text_that_is_repeated_in_parquet_is_stored_once(tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2, 3], "title": ["the same", "the same", None], "price": [1.0, 1.0, 1.0]})
    pq.write_table(table, tmp_path / "datasets.parquet")
    faults = FileFaults("datasets.parquet", BadRows())
    read = [row for _, row in parquet_files.rows(tmp_path / "datasets.parquet", "utf-8", DATASET_COLUMNS, faults)]
    assert [row["title"] for row in read] == ["the same", "the same", None]
    assert read[0]["title"] is read[1]["title"]


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    for name in ("datasets", "interactions"):
        (tmp_path / f"{name}.parquet").write_bytes(b"PAR1 and no more")
    assert [line.split(": can't")[0] for line in faults(tmp_path, "parquet")[1:]] == [
        "datasets.parquet",
        "interactions.parquet",
    ]


def test_the_source_is_found_by_the_names_of_the_files(tmp_path: Path) -> None:
    assert find_source(tmp_path) == "csv"
    write_jsonl(tmp_path, "datasets", [])
    assert find_source(tmp_path) == "jsonl"
    movie_folder(tmp_path)
    with pytest.raises(InputError, match="holds files of jsonl and movietweetings; say which with --source"):
        find_source(tmp_path)


SLIPS_DATASETS = (
    "id,title,tags,price,created_at\n"
    "1,Bus,gps,¥99,2026-01-01\n"
    "2,\0Rain,,1,2026-01-01\n"
    "3,Snow,,1,46000\n"
    "9.91214E+15,Hail,,1,\n"
    "id,title,tags,price,created_at\n"
)
SLIPS_INTERACTIONS = (
    "user_id,dataset_id,type,ts\n"
    "u1,1,buy,2026-01-01\n"
    "u1,2,view,1767323045000\n"
    "u1,77,view,2026-01-01\n"
    ",1,view,2026-01-01\n"
    'u1,"1,view,2026-01-01\n'
)


def test_ten_mistakes_are_named_in_one_run(tmp_path: Path) -> None:
    head, *lines = faults(csv_folder(tmp_path, SLIPS_DATASETS, SLIPS_INTERACTIONS))
    assert head == "10 bad rows; nothing was loaded"
    assert [tuple(line.split(":")[:2]) for line in lines] == [
        *(("datasets.csv", str(line)) for line in range(2, 7)),
        *(("interactions.csv", str(line)) for line in range(2, 7)),
    ]


def test_the_real_movietweetings_are_read_whole() -> None:
    if not (real := os.environ.get("REAL_DATA_DIR")):
        pytest.skip("REAL_DATA_DIR is not set: the tests on real data were left out")
    content = read(Path(real) / "movietweetings-100k", "movietweetings")
    assert (len(content.users), len(content.datasets), len(content.interactions)) == (16_554, 10_506, 100_000)


GOOD = {
    "datasets": {"id": "1", "title": "A", "description": "d", "tags": "t", "price": "1", "provider": "p",
                 "cover_image": "https://a/b", "created_at": "2026-01-01"},
    "interactions": {"user_id": "u", "dataset_id": "1", "type": "view", "ts": "2026-01-01", "price": "1"},
    "users": {"id": "u", "company_name": "c", "province": "p", "city": "c", "created_at": "2026-01-01"},
}  # fmt: skip
CELLS = [(table, column) for table, columns in GOOD.items() for column in columns]
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_or_faults(folder: Path, source: str) -> list[str]:
    try:
        read(folder, source)
    except InputError as error:
        return str(error).splitlines()[1:]
    return []


def expect_taken_or_named(folder: Path, source: str, table: str, column: str) -> None:
    """The rule of every cell: it is accepted, or a fault names its file, line and column."""
    lines = read_or_faults(folder, source)
    # Another id may be valid, but then the interaction's dataset doesn't exist.
    places = [(f"{table}.{source}:", f" {column} "), (f"interactions.{source}:", " dataset_id ")]
    assert all(any(line.startswith(file) and name in line for file, name in places) for line in lines), lines
    assert all(line.isprintable() for line in lines)


def rows_with(table: str, column: str, value: object) -> dict[str, list[dict[str, object]]]:
    return {name: [row | {column: value} if name == table else dict(row)] for name, row in GOOD.items()}


@FUZZ
@given(st.sampled_from(CELLS), st.text(st.characters(exclude_categories=["Cs"])))
@example(("datasets", "title"), 'a"\n\r\0\ufeff')
def test_any_text_in_any_cell_of_csv_is_accepted_or_named(tmp_path: Path, cell: tuple[str, str], text: str) -> None:
    table, column = cell
    quoted = '"' + text.replace('"', '""') + '"'
    for name, (row,) in rows_with(table, column, quoted).items():
        content = ",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n"
        (tmp_path / f"{name}.csv").write_bytes(content.encode())
    expect_taken_or_named(tmp_path, "csv", table, column)


@FUZZ
@given(st.sampled_from(sorted(GOOD)), st.binary(max_size=200))
def test_any_bytes_in_any_file_of_csv_are_accepted_or_a_fault(tmp_path: Path, table: str, data: bytes) -> None:
    for name, columns in GOOD.items():
        row = ",".join(columns) + "\n" + ",".join(columns.values()) + "\n"
        (tmp_path / f"{name}.csv").write_bytes(row.encode() + (data if name == table else b""))
    assert all(line.isprintable() and ".csv" in line for line in read_or_faults(tmp_path, "csv"))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@FUZZ
@given(st.sampled_from(CELLS), ANY_JSON)
def test_any_json_in_any_field_is_accepted_or_named(tmp_path: Path, cell: tuple[str, str], value: object) -> None:
    table, column = cell
    for name, rows in rows_with(table, column, value).items():
        write_jsonl(tmp_path, name, rows)
    expect_taken_or_named(tmp_path, "jsonl", table, column)


ANY_ARROW = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(lambda value: pa.array([value])),
    st.floats().map(lambda value: pa.array([value], pa.float64())),
    st.text(st.characters(exclude_categories=["Cs"])).map(lambda value: pa.array([value])),
    st.binary().map(lambda value: pa.array([value])),
    st.binary().map(lambda value: pa.array([value], pa.binary()).view(pa.utf8())),
    st.booleans().map(lambda value: pa.array([value])),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**15), max_value=10**15).map(
        lambda value: pa.array([value])
    ),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(
        lambda value: pa.array([value], pa.list_(pa.string()))
    ),
    st.tuples(
        st.integers(-(2**63), 2**63 - 1), st.sampled_from(["ms", "us", "ns"]), st.sampled_from([None, "UTC"])
    ).map(lambda given: pa.array([given[0]], pa.timestamp(given[1], given[2]))),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: pa.array([value], pa.int32()).view(pa.date32())),
    st.just(pa.nulls(1)),
)


@FUZZ
@given(st.sampled_from(CELLS), ANY_ARROW)
def test_any_value_in_any_column_of_parquet_is_accepted_or_named(
    tmp_path: Path, cell: tuple[str, str], column_values: pa.Array
) -> None:
    table, column = cell
    for name, row in GOOD.items():
        columns: dict[str, object] = {key: [value] for key, value in row.items()}
        write_parquet(tmp_path, name, columns | ({column: column_values} if name == table else {}))
    expect_taken_or_named(tmp_path, "parquet", table, column)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_imported_tag_can_be_used_as_a_filter(tmp_path: Path, tag: str) -> None:
    for name, rows in rows_with("datasets", "tags", [tag]).items():
        write_jsonl(tmp_path, name, rows)
    try:
        (found,) = read(tmp_path, "jsonl").datasets["tags"].to_pylist()
    except InputError:
        return
    assert found is None or (found == unicodedata.normalize("NFC", found).strip() and len(found) <= 64)
