"""Rows as CSV: the columns, batches of whole rows, and the faults of `rows`."""

import csv
from collections.abc import Iterator
from uuid import uuid4

import psycopg2
import pytest

from business import DatabaseUnavailableError, Form, Statement, Timeouts, UserSqlError, open_business_database
from business.csv_rows import MAX_BATCH_BYTES, CsvBatches
from localservers.postgres import PostgresCluster
from testkit.source_databases import SourceDatabase, postgresql_source

# Larger than what the sockets of both sides hold.
ENDLESS = "SELECT n AS id, repeat('x', 1000) AS label FROM generate_series(1, 1000000) AS n"


@pytest.fixture
def source(postgres_url: str) -> SourceDatabase:
    return postgresql_source(postgres_url)


def batches_of(source: SourceDatabase, sql: str, **options: object) -> list[bytes]:
    with open_business_database(source.url, "X", Timeouts(statement=1)) as database:
        found = database.csv_rows(Statement(sql, "a.sql"), **options)  # type: ignore[arg-type]
        assert found is not None
        batches: list[bytes] = []
        found.send(batches.append)
        return batches


def test_only_postgresql_writes_csv(shop: SourceDatabase) -> None:
    with open_business_database(shop.url, "X") as database:
        found = database.csv_rows(Statement("SELECT id FROM goods", "a.sql"))
        assert (found is not None) == (shop.kind == "postgresql")


def test_a_column_has_the_form_of_its_texts(source: SourceDatabase) -> None:
    sql = (
        "SELECT 1::int8 AS a, 1.5 AS b, 'x' AS c, now() AS d, true AS e, ARRAY[1] AS f, '1'::xml AS g, "
        "'c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa'::uuid AS h"
    )
    with open_business_database(source.url, "X") as database:
        found = database.csv_rows(Statement(sql, "a.sql"))
        assert found is not None
        forms = {column.name: column.form for column in found.columns}
        assert [column.parse(text) for column, text in zip(found.columns[4:6], ("t", "{1,2}"), strict=True)] == [
            True,
            [1, 2],
        ]
    assert forms == {
        "a": Form.INTEGER,
        "b": Form.NUMBER,
        **dict.fromkeys("cdgh", Form.TEXT),
        **dict.fromkeys("ef", Form.OTHER),
    }


def test_rows_come_in_batches_of_whole_rows(source: SourceDatabase) -> None:
    sql = "SELECT n AS id, E'two\\nlines, \"数据\"' AS title FROM generate_series(1, 5) AS n"
    batches = batches_of(source, sql, batch_rows=2, where="id <> 2")
    found = [list(csv.reader(batch.decode().splitlines(keepends=True))) for batch in batches]
    text = 'two\nlines, "数据"'
    assert found == [[["1", text], ["3", text]], [["4", text], ["5", text]]]
    assert batches_of(source, sql, where="1 = 0") == []
    assert batches_of(source, "SELECT NULL AS id UNION ALL SELECT ''") == [b'\n""\n']


def test_long_rows_make_small_batches() -> None:
    batches: list[bytes] = []
    collected = CsvBatches(batches.append, 1000)
    row = bytes(MAX_BATCH_BYTES // 2)
    for _ in range(3):
        collected.write(row)
    collected.flush()
    assert [len(batch) // len(row) for batch in batches] == [2, 1]


def test_a_fault_in_the_sql_names_file_and_line(source: SourceDatabase) -> None:
    with pytest.raises(UserSqlError, match=r'^a\.sql:2: column "euros" does not exist'):
        batches_of(source, "SELECT 1 AS id,\n euros AS price")
    with pytest.raises(UserSqlError, match=r"^a\.sql.*: .*Bus traces"):
        batches_of(source, "SELECT CAST(label AS integer) AS id FROM (VALUES ('Bus traces')) AS goods(label)")


def test_a_text_in_another_encoding_is_a_fault_of_the_sql(postgres_server: PostgresCluster) -> None:
    name = f"test_{uuid4().hex}"
    run_alone(postgres_server, f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    try:
        source = postgresql_source(postgres_server.url(name))
        with pytest.raises(UserSqlError, match=r"^a\.sql: invalid byte sequence for encoding"):
            batches_of(source, "SELECT E'\\xd6\\xd0' AS id")
        assert batches_of(source, "SELECT E'\\xe6\\x95\\xb0' AS id") == ["数\n".encode()]
    finally:
        postgres_server.drop_database(name)


def run_alone(server: PostgresCluster, sql: str) -> None:
    """Run a statement outside of a transaction."""
    connection = psycopg2.connect(server.url("postgres").replace("+psycopg2", ""))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
    finally:
        connection.close()


@pytest.mark.parametrize("sql", ["SELECT pg_sleep(30)", "SELECT pg_sleep(0.02) FROM generate_series(1, 10000)"])
def test_a_statement_that_takes_too_long_is_stopped(source: SourceDatabase, sql: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match="statement timeout"):
        batches_of(source, sql)


def test_a_server_that_stops_in_the_middle_is_unavailable(source: SourceDatabase) -> None:
    with open_business_database(source.url, "X") as database:
        found = database.csv_rows(Statement(ENDLESS, "a.sql"))
        assert found is not None
        received: list[int] = []

        def receive(batch: bytes) -> None:
            received.append(len(batch))
            if len(received) == 1:
                source.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'recsys' "
                    "AND datname = current_database()"
                )

        with pytest.raises(DatabaseUnavailableError):
            found.send(receive)
        assert len(received) < 20


def test_an_error_of_the_receiver_ends_the_reading_on_the_server_too(source: SourceDatabase) -> None:
    def receive(batch: bytes) -> None:
        raise KeyboardInterrupt

    with open_business_database(source.url, "X") as database:
        found = database.csv_rows(Statement(ENDLESS, "a.sql"))
        assert found is not None
        with pytest.raises(KeyboardInterrupt):
            found.send(receive)
    assert readers(source) == []


def readers(source: SourceDatabase) -> list[tuple[object, ...]]:
    """Return the reading connections that are left when the server has noticed the end of those that ended."""
    for _ in range(3000):
        found = source.run(
            "SELECT pid, pg_sleep(0.01) FROM pg_stat_activity "
            "WHERE application_name = 'recsys' AND datname = current_database()"
        )
        if not found:
            break
    return found


def test_the_order_without_order_by_is_that_of_one_process(source: SourceDatabase) -> None:
    assert batches_of(source, "SELECT current_setting('max_parallel_workers_per_gather') AS n") == [b"0\n"]


@pytest.fixture
def writing_function(source: SourceDatabase) -> Iterator[str]:
    source.run("CREATE TABLE sold (n integer)")
    source.run("CREATE FUNCTION sell() RETURNS int LANGUAGE sql AS 'INSERT INTO sold VALUES (1) RETURNING n'")
    yield "SELECT sell() AS id"
    assert source.run("SELECT * FROM sold") == []


def test_a_function_that_writes_is_rejected(source: SourceDatabase, writing_function: str) -> None:
    with pytest.raises(UserSqlError, match="read-only"):
        batches_of(source, writing_function)


def test_all_is_read_in_one_transaction(source: SourceDatabase) -> None:
    source.run("CREATE TABLE sold (n integer)")
    with open_business_database(source.url, "X") as database:
        for _ in range(2):
            found = database.csv_rows(Statement("SELECT n FROM sold", "a.sql"))
            assert found is not None
            batches: list[bytes] = []
            found.send(batches.append)
            assert batches == []
            source.run("INSERT INTO sold VALUES (1)")
