"""Values of users' databases: all kinds of databases give the same ids, times and prices; odd ones are reported."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from contracts.ids import MAX_ID, hash_id
from pipeline.errors import InputError
from pipeline.extract import extract, open_business
from pipeline.extract.extract import OUTSIDE_CALENDAR
from pipeline.extract.ids import IdReader
from pipeline.extract.moments import FIRST, LAST
from pipeline.extract.values import UnusableValueError
from testkit.source_databases import SourceDatabase

BUYER = "c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa"
SQL = {
    "users.sql": "SELECT 1 AS id",
    "datasets.sql": "SELECT 1 AS id, 'One' AS title",
    "interactions.sql": "SELECT 1 AS user_id, 1 AS dataset_id, 'view' AS type, 1760000000 AS ts",
}
Row = dict[str, object]


def extracted(source: SourceDatabase | str, folder: Path, zone: str = "UTC", **sql: str) -> dict[str, list[Row]]:
    """Extract by the statements, and return the rows of each table."""
    mapping, out = folder / "sql", folder / "out"
    for each in (mapping, out):
        each.mkdir(exist_ok=True)
    for name, statement in (SQL | {f"{name}.sql": statement for name, statement in sql.items()}).items():
        (mapping / name).write_text(statement, encoding="utf-8")
    url = source if isinstance(source, str) else source.url
    with open_business(SecretStr(url)) as business:
        extract(business, None, mapping, out, UTC if zone == "UTC" else ZoneInfo(zone))
    return {name: pq.read_table(out / f"{name}.parquet").to_pylist() for name in ("users", "datasets", "interactions")}


@pytest.fixture
def lite(tmp_path: Path) -> str:
    """The URL of an empty SQLite file, which answers a SELECT without tables."""
    (tmp_path / "empty.db").touch()
    return f"sqlite:///{tmp_path / 'empty.db'}"


def moment_of(source: SourceDatabase | str, folder: Path, expression: str, zone: str = "UTC") -> object:
    statement = f"SELECT 1 AS user_id, 1 AS dataset_id, 'view' AS type, {expression} AS ts"
    return extracted(source, folder, zone, interactions=statement)["interactions"][0]["ts"]


def refusal(source: SourceDatabase | str, folder: Path, **sql: str) -> str:
    with pytest.raises(InputError) as refused:
        extracted(source, folder, **sql)
    return str(refused.value)


def test_text_ids_are_stored_as_external_ids(source_database: SourceDatabase, tmp_path: Path) -> None:
    uuid = "UUID" if source_database.kind in {"postgresql", "duckdb"} else "VARCHAR(36)"
    source_database.run(f"CREATE TABLE buyers (code {uuid})")
    source_database.run(f"INSERT INTO buyers VALUES ('{BUYER}')")
    source_database.run(f"CREATE TABLE sales (buyer {uuid}, sku VARCHAR(20), price DECIMAL(10,2))")
    source_database.run(f"INSERT INTO sales VALUES ('{BUYER}', 'SKU-77', 9.50)")
    source_database.run("CREATE VIEW sold AS SELECT buyer, sku, price FROM sales")
    found = extracted(
        source_database,
        tmp_path,
        users="SELECT code AS id FROM buyers",
        datasets="SELECT DISTINCT sku AS id, 'Bus traces' AS title, price FROM sold",
        interactions="SELECT buyer AS user_id, sku AS dataset_id, 'purchase' AS type, price, 1.76e9 AS ts FROM sold",
    )
    (user,), (dataset,), (row,) = found["users"], found["datasets"], found["interactions"]
    assert (user["id"], user["external_id"]) == (hash_id(BUYER, "user"), BUYER)
    assert (dataset["id"], dataset["external_id"], dataset["price"]) == (hash_id("SKU-77", "dataset"), "SKU-77", 9.5)
    assert (row["user_id"], row["dataset_id"], row["price"]) == (user["id"], dataset["id"], 9.5)


EPOCHS = {
    "postgresql": [
        "extract(epoch FROM timestamptz '2025-10-09 08:53:20Z')",
        "1760000000::float8",
        "1760000000::numeric",
    ],
    "mariadb": ["UNIX_TIMESTAMP('2025-10-09 08:53:20')", "1760000000e0", "CAST(1760000000 AS DECIMAL(20,6))"],
    "sqlite": ["1760000000", "1760000000.0", "'1760000000'"],
    "duckdb": ["epoch(TIMESTAMP '2025-10-09 08:53:20')", "1760000000::BIGINT", "1760000000::DECIMAL(18,3)"],
}


def test_numbers_are_unix_seconds_whatever_their_sql_type(source_database: SourceDatabase, tmp_path: Path) -> None:
    for expression in EPOCHS[source_database.kind]:
        assert moment_of(source_database, tmp_path, expression) == datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC)


NAIVE = {"sqlite": "'2026-01-01 08:00:00'", "mariadb": "CAST('2026-01-01 08:00:00' AS DATETIME)"}
AWARE = {
    "postgresql": "timestamptz '2026-01-01 08:00:00.25+08'",
    "duckdb": "TIMESTAMPTZ '2026-01-01 08:00:00.25+08'",
    "sqlite": "'2026-01-01T08:00:00.25+08:00'",
}


def test_a_time_without_an_offset_is_in_the_configured_time_zone(
    source_database: SourceDatabase, tmp_path: Path
) -> None:
    naive = NAIVE.get(source_database.kind, "timestamp '2026-01-01 08:00:00'")
    assert moment_of(source_database, tmp_path, naive) == datetime(2026, 1, 1, 8, tzinfo=UTC)
    assert moment_of(source_database, tmp_path, naive, "Asia/Shanghai") == datetime(2026, 1, 1, tzinfo=UTC)
    day = "'2026-07-01'" if source_database.kind == "sqlite" else "CAST('2026-07-01' AS DATE)"
    assert moment_of(source_database, tmp_path, day, "Europe/Berlin") == datetime(2026, 6, 30, 22, tzinfo=UTC)


def test_a_time_with_an_offset_keeps_it(source_database: SourceDatabase, tmp_path: Path) -> None:
    if source_database.kind == "mariadb":
        source_database.run("CREATE TABLE t (ts TIMESTAMP)")
        source_database.run("INSERT INTO t VALUES (FROM_UNIXTIME(1767225600))")
        statement = "SELECT 1 AS user_id, 1 AS dataset_id, 'view' AS type, ts FROM t"
        (row,) = extracted(source_database, tmp_path, "Asia/Shanghai", interactions=statement)["interactions"]
        assert row["ts"] == datetime(2026, 1, 1, tzinfo=UTC)
        return
    expected = datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)
    assert moment_of(source_database, tmp_path, AWARE[source_database.kind], "Asia/Shanghai") == expected


OUTSIDE = {
    "postgresql": {
        "timestamptz '0044-03-15 BC'": FIRST,
        "date '0044-03-15 BC'": FIRST,
        "timestamp '12026-01-01'": LAST,
        "timestamptz 'infinity'": LAST,
        "date '-infinity'": FIRST,
        "'NaN'::float8": FIRST,
        "'infinity'::float8": LAST,
    },
    "mariadb": {"CAST('0000-00-00' AS DATETIME)": FIRST, "z.ts": FIRST},
    "sqlite": {"'0000-00-00 00:00:00'": FIRST, "'2026-02-30'": FIRST, "'12026-01-01'": LAST, "9e999": LAST},
    "duckdb": {
        "TIMESTAMP '0044-03-15 (BC) 00:00:00'": FIRST,
        "DATE '12026-01-01'": LAST,
        "TIMESTAMPTZ 'infinity'": LAST,
        "DATE '-infinity'": FIRST,
        "'nan'::DOUBLE": FIRST,
    },
}


def test_a_time_outside_of_the_calendar_is_one_bad_row_and_shown_as_it_was_written(
    source_database: SourceDatabase, tmp_path: Path
) -> None:
    if source_database.kind == "mariadb":
        source_database.run("CREATE TABLE z (ts DATETIME)")
        source_database.run("INSERT IGNORE INTO z VALUES ('0000-00-00 00:00:00')")
    for expression, expected in OUTSIDE[source_database.kind].items():
        table = " FROM z" if expression.startswith("z.") else ""
        statement = f"SELECT 1 AS user_id, 1 AS dataset_id, 'view' AS type, {expression} AS ts{table}"
        (row,) = extracted(source_database, tmp_path, interactions=statement)["interactions"]
        assert row["ts"] == expected, expression
        noted = json.loads((tmp_path / "out" / OUTSIDE_CALENDAR).read_bytes())
        assert list(noted) == [f"interactions.ts.{'last' if expected == LAST else 'first'}"], expression


@pytest.mark.parametrize(
    ("expressions", "noted"),
    [
        (("'12026-01-01'", "'0000-00-00'"), {"last": "12026-01-01", "first": "0000-00-00"}),
        (("9e999", "-9e999"), {"last": "inf", "first": "-inf"}),
    ],
)
def test_each_end_of_the_calendar_has_an_example_of_its_own(
    lite: str, tmp_path: Path, expressions: tuple[str, str], noted: dict[str, str]
) -> None:
    statement = " UNION ALL ".join(
        f"SELECT 1 AS user_id, 1 AS dataset_id, 'view' AS type, {each} AS ts" for each in expressions
    )
    rows = extracted(lite, tmp_path, interactions=statement)["interactions"]
    assert [row["ts"] for row in rows] == [FIRST, LAST]
    found = json.loads((tmp_path / "out" / OUTSIDE_CALENDAR).read_bytes())
    assert found == {f"interactions.ts.{end}": text for end, text in noted.items()}


PRICES = {
    "postgresql": ["'NaN'::float8", "'Infinity'::float8", "1e308::float8", "'NaN'::numeric", "'-5'::numeric"],
    "mariadb": ["1e308", "-5", "CAST(9.5 AS DECIMAL(10,2))"],
    "sqlite": ["9e999", "-9e999", "1e308", "-5", "'9.50'", "'NaN'"],
    "duckdb": ["'nan'::DOUBLE", "'inf'::DOUBLE", "1e308", "-5", "9.50"],
}


def test_any_number_is_read_as_a_price_for_the_checks(source_database: SourceDatabase, tmp_path: Path) -> None:
    for expression in PRICES[source_database.kind]:
        statement = f"SELECT 1 AS id, 'One' AS title, {expression} AS price"
        (row,) = extracted(source_database, tmp_path, datasets=statement)["datasets"]
        assert isinstance(row["price"], float), expression


IDS = {
    "postgresql": {"29::float8": 29, "29.00::numeric": 29, "'29'::text": 29, "0": 0, "-3::numeric": -3},
    "mariadb": {"29e0": 29, "CAST(29 AS DECIMAL(10,2))": 29, "'29'": 29, "-3": -3},
    "sqlite": {"29.0": 29, "'29'": 29, "0": 0, str(MAX_ID): MAX_ID},
    "duckdb": {"29::DOUBLE": 29, "29::DECIMAL(10,2)": 29, "29::HUGEINT": 29, "'29'": 29, "-3": -3},
}


def test_a_whole_number_is_an_id_whatever_its_sql_type(source_database: SourceDatabase, tmp_path: Path) -> None:
    for expression, expected in IDS[source_database.kind].items():
        assert extracted(source_database, tmp_path, users=f"SELECT {expression} AS id")["users"] == [
            {
                "id": expected,
                "external_id": None,
                "company_name": None,
                "province": None,
                "city": None,
                "created_at": None,
            }
        ], expression


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("' 7'", "users.sql: column id: ' 7': an id has no white space at its ends"),
        ("'1_000'", "users.sql: column id: '1_000': a numeric id has no separators between its digits"),
        ("'７'", "users.sql: column id: '７': a numeric id is written in the digits 0 to 9"),
        ("'1.0'", "users.sql: column id: '1.0': a numeric id is a whole number"),
        ("'1.23457E+11'", "users.sql: column id: '1.23457E+11': a number with an exponent is not an id: a spreadsheet"),
        (
            "'99999999999999999999'",
            "users.sql: column id: '99999999999999999999': a numeric id is a whole number from 1",
        ),
        ("1.5", "users.sql: column id: 1.5: a numeric id is a whole number"),
        ("1e20", "users.sql: column id: 1e+20: a floating-point number of this size is rounded"),
        ("x'00ff'", "users.sql: column id: \"b'\\\\x00\\\\xff'\": bytes are not an id"),
    ],
)
def test_an_id_that_is_not_canonical_is_rejected_with_file_column_value_and_hint(
    lite: str, tmp_path: Path, expression: str, message: str
) -> None:
    assert refusal(lite, tmp_path, users=f"SELECT {expression} AS id").startswith(message)


def test_a_special_value_of_a_numeric_type_is_rejected_as_an_id(postgres_url: str, tmp_path: Path) -> None:
    for expression in ("'NaN'::numeric", "'NaN'::float8", "'infinity'::float8", "10::numeric ^ 20", "ARRAY[1]", "true"):
        assert refusal(postgres_url, tmp_path, users=f"SELECT {expression} AS id").startswith("users.sql: column id: ")


def test_a_list_of_tags_is_joined(postgres_url: str, tmp_path: Path) -> None:
    statement = "SELECT 1 AS id, 'T' AS title, ARRAY['traffic', NULL, 'bus'] AS tags"
    assert extracted(postgres_url, tmp_path, datasets=statement)["datasets"][0]["tags"] == "traffic;bus"


def test_reading_a_large_result_stops_at_an_unusable_value(source_database: SourceDatabase, tmp_path: Path) -> None:
    source_database.run("CREATE TABLE ids (n VARCHAR(10))")
    source_database.run("INSERT INTO ids VALUES ('1.0'), ('2.0')")
    cross = "SELECT a.n AS id FROM ids a, ids b, ids c, ids d, ids e, ids f, ids g, ids h, ids i, ids j, ids k, ids l"
    statement = f"{cross}, ids m, ids n, ids o, ids p, ids q"
    assert "a numeric id is a whole number" in refusal(source_database, tmp_path, users=statement)


def test_texts_that_look_alike_stay_different(lite: str, tmp_path: Path) -> None:
    found = extracted(lite, tmp_path, users="SELECT '007' AS id UNION ALL SELECT '7' UNION ALL SELECT 7")["users"]
    assert [row["id"] for row in found] == [hash_id("007", "user"), 7, 7]
    assert [row["external_id"] for row in found] == ["007", None, None]


def test_two_texts_that_stand_for_one_number_are_found_across_the_extraction() -> None:
    reader = IdReader("user", parse=lambda value, kind: 5)
    reader.column(["a", "a", None])
    with pytest.raises(UnusableValueError, match=r"'b': stands for the same number as 'a'; change one of the two"):
        reader.column([UUID(int=0), "b"][1:])


def test_a_number_id_gets_the_external_id_of_its_row(lite: str, tmp_path: Path) -> None:
    found = extracted(lite, tmp_path, datasets="SELECT 5 AS id, 'T' AS title, 'mine' AS external_id")["datasets"]
    assert (found[0]["id"], found[0]["external_id"]) == (5, "mine")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1760001771000", "interactions.sql: column ts: 1760001771000: looks like Unix milliseconds; divide by 1000"),
        ("1760001771000.0", "interactions.sql: column ts: 1760001771000.0: looks like Unix milliseconds"),
        ("'1760001771000'", "interactions.sql: column ts: '1760001771000': looks like Unix milliseconds"),
        ("20260131", "interactions.sql: column ts: 20260131: looks like a date written as a number (YYYYMMDD)"),
        ("20260131120000", "interactions.sql: column ts: 20260131120000: looks like a time written as a number"),
        ("'45678.5'", "interactions.sql: column ts: '45678.5': looks like a spreadsheet's number of days"),
        ("x'00'", "interactions.sql: column ts: "),
    ],
)
def test_a_number_that_is_not_unix_seconds_is_rejected_with_column_value_and_hint(
    lite: str, tmp_path: Path, expression: str, message: str
) -> None:
    statement = f"SELECT 1 AS user_id, 1 AS dataset_id, 'view' AS type, {expression} AS ts"
    assert refusal(lite, tmp_path, interactions=statement).startswith(message)


def test_a_date_of_eight_digits_as_text_is_iso_8601(lite: str, tmp_path: Path) -> None:
    assert moment_of(lite, tmp_path, "'20260131'") == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("'9,50 €' AS price", "datasets.sql: column price: '9,50 €': is not a number"),
        ("'1_000' AS price", "datasets.sql: column price: '1_000': is not a number"),
        ("'maybe' AS is_deleted", "datasets.sql: column is_deleted: 'maybe': is neither true nor false"),
        ("x'ff' AS description", "datasets.sql: column description: "),
    ],
)
def test_a_column_of_the_wrong_kind_is_rejected_with_its_value(
    lite: str, tmp_path: Path, columns: str, message: str
) -> None:
    assert refusal(lite, tmp_path, datasets=f"SELECT 1 AS id, 'T' AS title, {columns}").startswith(message)


@pytest.mark.parametrize(
    ("flag", "expected"), [("'0'", False), ("'f'", False), ("NULL", False), ("'t'", True), ("1", True)]
)
def test_a_flag_is_read_by_its_meaning(lite: str, tmp_path: Path, flag: str, expected: bool) -> None:
    (row,) = extracted(lite, tmp_path, datasets=f"SELECT 1 AS id, 'T' AS title, {flag} AS is_deleted")["datasets"]
    assert row["is_deleted"] is expected


def test_summer_time_begins_and_ends_where_the_zone_says(lite: str, tmp_path: Path) -> None:
    statement = (
        "SELECT 1 AS user_id, 1 AS dataset_id, 'view' AS type, '2026-03-29 01:59:59' AS ts "
        "UNION ALL SELECT 1, 1, 'view', '2026-03-29 03:00:00' UNION ALL SELECT 1, 1, 'view', NULL"
    )
    first, second, missing = extracted(lite, tmp_path, "Europe/Berlin", interactions=statement)["interactions"]
    assert second["ts"] - first["ts"] == timedelta(seconds=1)  # type: ignore[operator]
    assert missing["ts"] is None
