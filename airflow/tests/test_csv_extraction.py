"""PostgreSQL's rows are read as CSV: values, findings and errors are those of the generic reading."""

from collections.abc import Iterator
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from business import BusinessDatabase, Statement, Timeouts, UserSqlError
from business.csv_rows import CsvRows
from business.postgresql import PostgresqlDatabase
from pipeline.errors import InputError
from pipeline.extract.conversion import Converter

MOMENT = "timestamptz '2026-01-01 08:00:00.25+00'"
Outcome = tuple[object, dict[str, str]]


class RowsOnly(PostgresqlDatabase):
    """PostgreSQL as any other database is read."""

    def csv_rows(self, *_: object, **__: object) -> CsvRows | None:
        return None


class Reader:
    """Reads with one connection until an error, after which it can only be closed."""

    def __init__(self, kind: type[BusinessDatabase], url: str) -> None:
        self._open = lambda: kind(make_url(url), Timeouts())
        self.database = self._open()

    def outcome(self, name: str, sql: str, zone: tzinfo) -> Outcome:
        """Return the rows or the error, and the values outside of the calendar."""
        converter = Converter()
        try:
            statement = Statement(sql, f"{name}.sql")
            table = pa.Table.from_batches(converter.batches(self.database, name, statement, zone))
        except (InputError, UserSqlError) as error:
            self.database.close()
            self.database = self._open()
            return str(error), converter.outside_calendar
        # As text, because NaN is not equal to itself.
        return (table.schema, repr(table.to_pylist())), converter.outside_calendar


Readers = tuple[Reader, Reader]


@pytest.fixture
def readers(postgres_url: str) -> Iterator[Readers]:
    """The reading as CSV, and the generic one."""
    both = Reader(PostgresqlDatabase, postgres_url), Reader(RowsOnly, postgres_url)
    yield both
    for reader in both:
        reader.database.close()


def assert_equal(readers: Readers, name: str, sql: str, zone: tzinfo = UTC) -> object:
    found, expected = (reader.outcome(name, sql, zone) for reader in readers)
    assert found == expected, sql
    return found[0]


def interactions(**changed: str) -> str:
    columns = {"user_id": "1", "dataset_id": "2", "type": "'view'", "price": "NULL", "ts": MOMENT} | changed
    return "SELECT " + ", ".join(f"{value} AS {column}" for column, value in columns.items())


TIMES = [
    *("timestamptz '0001-01-01 00:00:00+00'", "timestamp '0001-01-01'", "date '0001-01-01'"),
    *("timestamptz '294276-12-31 23:59:59.999999+00'", "timestamp '294276-12-31'", "date '5874897-12-31'"),
    *("timestamptz '0044-03-15 BC'", "date '4713-01-01 BC'", "timestamp '9999-12-31 23:59:59.999999'"),
    *("timestamptz 'infinity'", "timestamp '-infinity'", "date 'infinity'", "NULL::timestamptz", "NULL::date"),
    *("timestamptz '2026-03-29 03:30:00.000001+02'", "timestamp '2026-03-29 02:30'", "timestamp '2026-10-25 02:30'"),
    *("'2026-01-01'::text", "'2026-01-01T08:00:00+08:00'::text", "'soon'::text", "'0000-00-00'::text", "''::text"),
    *("1760000000", "1760000000.5::numeric", "1760000000::float4", "'NaN'::float8", "20260101", "1760000000000"),
    *("interval '1 day'", "time '12:00'", "true", f"ARRAY[{MOMENT}]", "'{}'::jsonb", "'x'::bytea"),
]
PRICES = [
    *("'NaN'::float8", "'-Infinity'::float8", "1e308::float8", "5e-324::float8", "'-0'::float8", "0.1::float4"),
    *("'NaN'::numeric", "1e400::numeric", "-1e400::numeric", "1e-400::numeric", "repeat('9', 1000)::numeric"),
    *("0.1000000000000000055511151231257827::numeric", "9007199254740993::int8", "9007199254740993::numeric"),
    *("9.50::numeric(10, 2)", "5::money", "'9,50'::text", "' 9.5 '::text", "''::text", "true", "NULL::numeric"),
    *("(-32768)::int2", "9223372036854775807::int8", "ARRAY[1.5]", "'1'::bytea"),
]
TEXTS = [
    *("''", "' '", "'NULL'", "'null'", r"'\N'", r"'\.'", "','", "'\"'", "'\"\"'", "'a\"b'", "'#N/A'"),
    *(r"E'a\r\nb'", r"E'\r'", r"E'\n'", r"E'\n\n'", r"E'\t'", r"E'\x01'", r"E'\ufeff'", r"E'\ufeffid'", "'数据 💾'"),
    *(r"E'\u0301'", r"E'\u2028'", r"E'\u0085'", "'x'::char(5)", "'x'::varchar", "'x'::name", "'c'::\"char\"", "'3'"),
    *("1", "1.50", "true", "ARRAY['a', NULL, 'b;c', '\"']", "ARRAY[]::text[]", "'{\"a\": 1}'::jsonb", "'x'::bytea"),
    *(
        "'c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa'::uuid",
        f"{MOMENT}::date",
        "'1 day'::interval",
        "'10.0.0.1'::inet",
        "NULL",
    ),
]
IDS = [
    *("1", "0", "-3::int2", "9223372036854775807", "29::float8", "29.00::numeric", "'NaN'::numeric", "29.5::float8"),
    *("10::numeric ^ 20", "'007'", "'7'", "' 7'", "''", "'SKU-77'", "true", "ARRAY[1]", "NULL::int8", "NULL::text"),
    *("'c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa'::uuid", "'x'::bytea", MOMENT, r"E'a\nb'", "1e20::float8"),
]


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Europe/Berlin")])
def test_times_are_equal(readers: Readers, zone: tzinfo) -> None:
    for value in TIMES:
        missing = interactions(ts=f"NULLIF({value}, {value})")
        assert_equal(readers, "interactions", f"{missing} UNION ALL {interactions(ts=value)} UNION ALL {missing}", zone)


def test_prices_are_equal(readers: Readers) -> None:
    for value in PRICES:
        assert_equal(readers, "interactions", interactions(price=value))


def test_texts_are_equal(readers: Readers) -> None:
    for value in TEXTS:
        assert_equal(readers, "interactions", interactions(type=value))
        assert_equal(readers, "datasets", f"SELECT 5 AS id, {value} AS title, {value} AS tags, {value} AS external_id")
        # As the first and only column, and as the first of a batch.
        assert_equal(readers, "users", f"SELECT {value} AS id")
        assert_equal(readers, "users", f"SELECT {value} AS company_name, 7 AS id")


def test_ids_are_equal(readers: Readers) -> None:
    for value in IDS:
        assert_equal(readers, "users", f"SELECT {value} AS id, 'mine' AS external_id")
        assert_equal(readers, "users", f"SELECT {value} AS id UNION ALL SELECT {value}")
        assert_equal(readers, "interactions", interactions(user_id=value))


def test_flags_are_equal(readers: Readers) -> None:
    for value in ("true", "false", "NULL::bool", "1", "2", "'yes'", "'maybe'", "B'1'"):
        assert_equal(readers, "datasets", f"SELECT 5 AS id, 'T' AS title, {value} AS is_deleted")


def test_a_missing_value_is_not_an_empty_text(readers: Readers) -> None:
    sql = "SELECT n AS id, CASE n WHEN 1 THEN '' WHEN 2 THEN NULL ELSE 'x' END AS city FROM generate_series(1, 3) n"
    found = str(assert_equal(readers, "users", sql))
    assert [found.count(f"'city': {city}") for city in ("''", "None", "'x'")] == [1, 1, 1]


def test_columns_that_are_missing_or_there_twice_are_equal(readers: Readers) -> None:
    for sql in (
        "SELECT 1 AS id, 2 AS other, 3 AS other",
        "SELECT 1 AS id, 2 AS id",
        "SELECT 1 AS nothing",
        "SELECT NULL AS id UNION ALL SELECT NULL",
    ):
        assert_equal(readers, "users", sql)


def test_an_error_in_a_later_batch_is_the_same(readers: Readers) -> None:
    sql = "SELECT CASE WHEN n > 60000 THEN n + 0.5 ELSE n END AS id FROM generate_series(1, 120000) AS n"
    assert assert_equal(readers, "users", sql) == "users.sql: column id: '60001.5': a numeric id is a whole number"


_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_number = st.one_of(
    st.floats(width=64).map(lambda value: f"'{value!r}'::float8"),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda value: f"{value:f}::numeric"[:900]),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: f"'{value}'::int8"),
)
_time = st.one_of(
    st.datetimes().map(lambda value: f"'{value.isoformat()}'"),
    st.sampled_from(["'infinity'", "'-infinity'", "'0044-03-15 BC'", "'294276-12-31'", "NULL", MOMENT]),
)


@st.composite
def _statements(draw: st.DrawFn) -> str:
    numeric, moment = draw(st.sampled_from(["float8", "numeric"])), draw(st.sampled_from(["timestamp", "timestamptz"]))
    rows = draw(st.lists(st.tuples(st.none() | _text, st.none() | _number, _time), min_size=1, max_size=8))
    selects = [
        interactions(
            type="NULL::text" if text is None else "'" + text.replace("'", "''") + "'::text",
            price="NULL" if number is None else f"CAST({number} AS {numeric})",
            ts=f"CAST({time} AS {moment})",
        )
        for text, number, time in rows
    ]
    return " UNION ALL ".join(selects)


@given(sql=_statements())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_generated_rows_are_equal(readers: Readers, sql: str) -> None:
    assert_equal(readers, "interactions", sql)
