"""Reading a user's database: the same results from each kind, and the database's own message for wrong SQL."""

from decimal import Decimal
from pathlib import Path

import pytest

from business import (
    DatabaseUnavailableError,
    Statement,
    Timeouts,
    UnusableUrlError,
    UserSqlError,
    open_business_database,
    statements,
)
from testkit.source_databases import SourceDatabase


def read(shop: SourceDatabase, sql: str, **options: object) -> tuple[list[str], list[tuple[object, ...]]]:
    with open_business_database(shop.url, "X") as database:
        found = database.rows(Statement(sql, "datasets.sql"), **options)  # type: ignore[arg-type]
        return found.columns, [row for batch in found for row in batch]


def test_rows_come_in_batches_with_their_column_names(shop: SourceDatabase) -> None:
    columns, rows = read(
        shop, "SELECT id, label AS title, price, sold_at FROM goods ORDER BY id -- 100%; done", batch_rows=1
    )
    assert columns == ["id", "title", "price", "sold_at"]
    assert rows[0][:2] == (1, "Bus traces")
    assert rows[0][2] == (9.5 if shop.kind == "sqlite" else Decimal("9.50"))
    assert str(rows[0][3]) == "2026-01-01 08:00:00"
    assert rows[1] == (2, "数据: 50%", None, None)


def test_a_reader_may_ask_for_some_columns_and_rows_of_the_users_statement(shop: SourceDatabase) -> None:
    columns, rows = read(shop, "SELECT * FROM goods;", columns=("label",), where="price IS NOT NULL")
    assert (columns, rows) == (["label"], [("Bus traces",)])


def test_views_are_seen_beside_tables(shop: SourceDatabase) -> None:
    shop.run("CREATE VIEW cheap AS SELECT * FROM goods WHERE price < 5")
    with open_business_database(shop.url, "X") as database:
        assert {"goods", "cheap"} <= database.relations()


def test_several_statements_are_read_in_one_transaction_and_reading_may_stop_early(shop: SourceDatabase) -> None:
    with open_business_database(shop.url, "X") as database:
        for _ in range(2):
            batches = iter(database.rows(Statement("SELECT id FROM goods", "a.sql"), batch_rows=1))
            assert len(next(batches)) == 1
            batches.close()  # type: ignore[attr-defined]
        if shop.kind in {"postgresql", "mariadb"}:
            shop.run("INSERT INTO goods VALUES (3, 'later', NULL, NULL)")
        (rows,) = database.rows(Statement("SELECT id FROM goods", "a.sql"))
        assert len(rows) == 2


WORDS = {
    "syntax": "SELECT id,\n  label\nFORM goods",
    "column": "SELECT id,\n  -- euros is old: nope\n  euros AS price, 'euros' AS x FROM goods",
    "table": "SELECT id\nFROM goods\n\nJOIN nowhere ON 1 = 1",
}
LINES = {"syntax": 3, "column": 3, "table": 4}
NAMED = {"syntax": "syntax", "column": "euros", "table": "nowhere"}


def test_a_fault_in_the_sql_names_file_and_line_with_the_databases_own_words(shop: SourceDatabase) -> None:
    for fault, sql in WORDS.items():
        with pytest.raises(UserSqlError) as refused:
            read(shop, sql)
        # MariaDB gives no line for an unknown name.
        has_line = shop.kind != "mariadb" or fault == "syntax"
        assert str(refused.value).startswith(f"datasets.sql:{LINES[fault]}: " if has_line else "datasets.sql: ")
        assert NAMED[fault] in str(refused.value)


def test_a_value_that_does_not_convert_is_a_fault_of_the_sql(shop: SourceDatabase) -> None:
    if shop.kind in {"sqlite", "mariadb"}:
        pytest.skip("converts anything to some number")
    with pytest.raises(UserSqlError, match=r"^datasets\.sql.*: .*Bus traces"):
        read(shop, "SELECT CAST(label AS INTEGER) AS id FROM goods")


REFUSED = [
    ("", "datasets.sql:1: holds no statement"),
    ("-- nothing\n /* at all */ ;", "datasets.sql:1: holds no statement"),
    ("\nUPDATE goods SET label = 'x'", "datasets.sql:2: begins with UPDATE; write one SELECT, or WITH … SELECT"),
    ("SELEC id FROM goods", "datasets.sql:1: begins with SELEC"),
    ("SELECT 1;\n\nDELETE FROM goods", "datasets.sql:3: several statements"),
    ("SELECT id\nINTO copied FROM goods", "datasets.sql:2: INTO writes"),
    ("WITH x AS (\nDELETE FROM goods RETURNING id) SELECT * FROM x", "datasets.sql:2: DELETE writes"),
    ("WITH x AS (SELECT 1)\nDELETE FROM goods", "datasets.sql:2: DELETE writes"),
    ("SELECT id FROM goods FOR UPDATE", "datasets.sql:1: UPDATE writes"),
    ("SELECT 1) AS q; DELETE FROM goods; --", "datasets.sql:1: this ) closes nothing"),
    ("SELECT 'open", "datasets.sql:1: the quote ' is not closed"),
    ("SELECT 1 /* open", "datasets.sql:1: the comment /* is not closed"),
]


def test_a_text_that_is_not_one_select_is_rejected_with_file_and_line(shop: SourceDatabase) -> None:
    for sql, message in REFUSED:
        with pytest.raises(UserSqlError) as refused:
            read(shop, sql)
        assert str(refused.value).startswith(message)


def test_words_that_only_look_like_writing_are_accepted(shop: SourceDatabase) -> None:
    sql = "(SELECT 'a;b' AS a, REPLACE(label, 'into', 'x') AS \"b\" FROM goods WHERE label <> 'it''s; INTO')"
    if shop.kind == "sqlite":
        sql = sql.strip("()") + ")"
        sql = sql.removesuffix("')") + "'"
    if shop.kind == "mariadb":
        sql = sql.replace('"b"', "`b`")
    assert len(read(shop, sql)[1]) == 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "BUSINESS_DATABASE_URL: not a usable SQLAlchemy URL; expected postgresql+psycopg2://"),
        ("postgresql://me:secret@host:54ab/db", "BUSINESS_DATABASE_URL: not a usable SQLAlchemy URL"),
        ("oracle+nothing://x/y", "BUSINESS_DATABASE_URL: the driver nothing is not supported"),
        ("mssql://x/y", "BUSINESS_DATABASE_URL: databases of the kind mssql can't be read"),
        ("postgresql://me:secret@127.0.0.1:1", "BUSINESS_DATABASE_URL: names no database"),
        ("postgresql://me:secret@127.0.0.1:1/db?sslmod=x", "BUSINESS_DATABASE_URL: "),
        (
            "mysql://me:secret@127.0.0.1:1/db?sslmod=x",
            "BUSINESS_DATABASE_URL: an option of the URL can't be used: sslmod",
        ),
        ("sqlite://", "BUSINESS_DATABASE_URL: names no file"),
        ("sqlite:////nowhere/x.db", "BUSINESS_DATABASE_URL: there is no file /nowhere/x.db"),
        ("duckdb:///{folder}/text.db", "BUSINESS_DATABASE_URL: {folder}/text.db is not a file of duckdb"),
        ("sqlite:///{folder}/text.db", "BUSINESS_DATABASE_URL: {folder}/text.db is not a file of sqlite"),
    ],
)
def test_a_url_that_can_not_be_used_names_the_setting(tmp_path: Path, url: str, message: str) -> None:
    (tmp_path / "text.db").write_text("this is a text, not a database", encoding="utf-8")
    with pytest.raises(UnusableUrlError) as refused:
        open_business_database(url.format(folder=tmp_path), "BUSINESS_DATABASE_URL")
    assert str(refused.value).startswith(message.format(folder=tmp_path))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://me:topsecret@127.0.0.1:1/db", "mysql://me:topsecret@127.0.0.1:1/db"])
def test_an_unreachable_server_is_unavailable_and_its_password_not_shown(url: str) -> None:
    with pytest.raises(DatabaseUnavailableError) as failed:
        open_business_database(url, "X")
    assert "topsecret" not in str(failed.value)
    assert failed.value.__cause__ is None


def test_a_wrong_password_is_not_a_fault_of_the_sql(shop: SourceDatabase) -> None:
    if shop.kind in {"sqlite", "duckdb"}:
        pytest.skip("has no password")
    head, _, tail = shop.url.partition("@")
    with pytest.raises(DatabaseUnavailableError):
        open_business_database(f"{head}wrong@{tail}", "X")


def test_a_statement_that_takes_too_long_is_stopped(shop: SourceDatabase) -> None:
    slow = {
        "postgresql": "SELECT pg_sleep(30)",
        "mariadb": "SELECT SLEEP(30) AS x FROM goods",
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS x FROM n",
    }.get(shop.kind)
    if slow is None:
        pytest.skip("has no limit")
    with (
        open_business_database(shop.url, "X", Timeouts(statement=1)) as database,
        pytest.raises(DatabaseUnavailableError),
    ):
        list(database.rows(Statement(slow, "a.sql")))


def test_a_server_that_stops_in_the_middle_is_unavailable(shop: SourceDatabase) -> None:
    kill = {
        "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'recsys'",
        "mariadb": "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
    }.get(shop.kind)
    if kill is None:
        pytest.skip("a file can't become unreachable")
    many = ", ".join(f"goods AS g{number}" for number in range(20))
    with open_business_database(shop.url, "X") as database:
        batches = iter(database.rows(Statement(f"SELECT g0.id FROM {many}", "a.sql"), batch_rows=1000))
        assert len(next(batches)) == 1000
        for (found,) in shop.run(kill):
            if shop.kind == "mariadb":
                shop.run(f"KILL {found}")
        with pytest.raises(DatabaseUnavailableError):
            list(batches)


def test_a_file_of_sql_is_utf_8_with_a_byte_order_mark_or_without(tmp_path: Path) -> None:
    (tmp_path / "datasets.sql").write_bytes(b"\xef\xbb\xbfSELECT id, title FROM datasets;")
    (tmp_path / "users.sql").write_bytes(b"SELECT id\n-- \xd6\xd0\nFROM users")
    with pytest.raises(UserSqlError, match=r"^users\.sql:2: not UTF-8"):
        statements(tmp_path)
    (tmp_path / "users.sql").unlink()
    found = statements(tmp_path)
    assert found["datasets"] == Statement("SELECT id, title FROM datasets;", "datasets.sql", is_file=True)
    assert found["users"].source == "table users"


def test_a_folder_without_sql_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserSqlError, match=r"EXTRACTION_SQL: .* holds none of users\.sql, datasets\.sql"):
        statements(tmp_path)
