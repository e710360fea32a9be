"""No statement changes the database: on a real server of each kind, as a user with all permissions."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from business import BusinessDatabaseError, Statement, UserSqlError, open_business_database
from business.statements import WrappedStatement
from testkit.source_databases import SourceDatabase

POSTGRESQL = {
    "a function that inserts": "SELECT sell(1) AS id",
    "a function that runs any SQL": "SELECT run('INSERT INTO goods VALUES (9)') AS id",
    "a function that makes a table": "SELECT run('CREATE TABLE made (id int)') AS id",
    "a sequence": "SELECT nextval('numbers') AS id",
    "setting a sequence": "SELECT setval('numbers', 100) AS id",
    "a large object": "SELECT lo_create(4711) AS id",
    "leaving the read-only mode": "SELECT set_config('transaction_read_only', 'off', false) AS id, sell(1)",
    "locking rows": "SELECT id FROM (SELECT id FROM goods FOR SHARE) AS g",
}
MARIADB = {
    "a function that inserts": "SELECT sell(1) AS id",
    "a function that inserts into a table without transactions": "SELECT log_sale(1) AS id",
    "a sequence": "SELECT NEXTVAL(numbers) AS id",
    "setting a sequence": "SELECT SETVAL(numbers, 100) AS id",
    "a file on the server": "SELECT id FROM goods INTO OUTFILE '{folder}/written'",
    "a comment that is executed": "SELECT 1 AS id /*! ) AS q INTO OUTFILE '{folder}/written' -- */",
    "a comment that MariaDB executes": "SELECT 1 AS id /*M! ) AS q INTO OUTFILE '{folder}/written' -- */",
}
SQLITE = {
    "another file": "SELECT 1 AS id; ATTACH '{folder}/written' AS other",
    "a setting": "PRAGMA user_version = 7",
}
DUCKDB = {
    "a sequence": "SELECT nextval('numbers') AS id",
    "a file": "COPY goods TO '{folder}/written'",
    "another file": "ATTACH '{folder}/written'",
    "a setting": "SELECT id FROM goods; SET memory_limit = '1GB'",
}
EVERYWHERE = {
    "an update": "UPDATE goods SET label = 'x'",
    "a delete after a select": "SELECT id FROM goods; DELETE FROM goods",
    "a commit first": "SELECT 1 AS id; COMMIT; DELETE FROM goods",
    "leaving the parentheses": "SELECT 1) AS q; DELETE FROM goods; SELECT 1 FROM (SELECT 1",
    "an insert in a WITH": "WITH x AS (INSERT INTO goods VALUES (9) RETURNING id) SELECT id FROM x",
    "a new table": "SELECT id INTO copied FROM goods",
    "a table": "DROP TABLE goods",
    "a call": "CALL nothing()",
}
CASES = {"postgresql": POSTGRESQL, "mariadb": MARIADB, "sqlite": SQLITE, "duckdb": DUCKDB}
# PostgreSQL before 16 accepts it, and undoes it at the end of the transaction.
UNDONE = {"a large object"}
PREPARATIONS = {
    "postgresql": [
        "CREATE SEQUENCE numbers",
        "CREATE FUNCTION sell(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO goods VALUES (n + 10) RETURNING id'",
        "CREATE FUNCTION run(code text) RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE code; RETURN 1; END'",
    ],
    "mariadb": [
        "CREATE SEQUENCE numbers",
        "CREATE TABLE sales (id INTEGER) ENGINE = MyISAM",
        "CREATE FUNCTION sell(n INT) RETURNS INT BEGIN INSERT INTO goods (id) VALUES (n + 10); RETURN 1; END",
        "CREATE FUNCTION log_sale(n INT) RETURNS INT BEGIN INSERT INTO sales VALUES (n); RETURN 1; END",
    ],
    "sqlite": [],
    "duckdb": ["CREATE SEQUENCE numbers"],
}
STATE = {
    "postgresql": [
        "SELECT * FROM goods ORDER BY id",
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT last_value, is_called FROM numbers",
        "SELECT count(*) FROM pg_largeobject_metadata",
    ],
    "mariadb": [
        "SELECT * FROM goods ORDER BY id",
        "SELECT * FROM sales",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1",
        "SELECT next_not_cached_value FROM numbers",
    ],
    "sqlite": ["SELECT * FROM goods ORDER BY id", "SELECT name FROM sqlite_master ORDER BY 1", "PRAGMA user_version"],
    "duckdb": [
        "SELECT * FROM goods ORDER BY id",
        "SELECT table_name FROM information_schema.tables ORDER BY 1",
        "SELECT last_value FROM duckdb_sequences()",
    ],
}


def state_of(shop: SourceDatabase) -> list[list[tuple[object, ...]]]:
    return [shop.run(sql) for sql in STATE[shop.kind]]


@pytest.fixture
def prepared(shop: SourceDatabase) -> SourceDatabase:
    for sql in PREPARATIONS[shop.kind]:
        shop.run(sql)
    return shop


def read(shop: SourceDatabase, statement: Statement) -> BusinessDatabaseError | None:
    """Read all rows of a statement on a connection of its own, and return the error."""
    with open_business_database(shop.url, "X") as database:
        try:
            for _ in database.rows(statement):
                pass
        except BusinessDatabaseError as error:
            return error
    return None


def test_a_statement_that_writes_is_rejected_and_changes_nothing(prepared: SourceDatabase, tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    before = state_of(prepared)
    for name, sql in (EVERYWHERE | CASES[prepared.kind]).items():
        refused = read(prepared, Statement(sql.format(folder=folder), "datasets.sql"))
        assert name in UNDONE or isinstance(refused, UserSqlError), name
        assert refused is None or str(refused).startswith("datasets.sql"), name
        assert state_of(prepared) == before, name
        assert list(folder.iterdir()) == [], name


class Unchecked(Statement):
    """A statement of any text that our own check lets pass."""

    def wrap(self, syntax: object, columns: object = (), where: str = "", group_by: str = "") -> WrappedStatement:
        return WrappedStatement(self, "", self.sql)


def test_the_server_itself_rejects_writes_that_our_check_would_let_pass(shop: SourceDatabase) -> None:
    before = shop.run("SELECT * FROM goods ORDER BY id")
    for sql in ("UPDATE goods SET label = 'x'", "DROP TABLE goods", "CREATE TABLE made (id INTEGER)"):
        assert read(shop, Unchecked(sql, "datasets.sql")) is not None, sql
    assert shop.run("SELECT * FROM goods ORDER BY id") == before


def test_a_user_who_may_only_read_some_tables_gets_the_name_of_the_forbidden_one(shop: SourceDatabase) -> None:
    if shop.kind in {"sqlite", "duckdb"}:
        pytest.skip("has no users")
    reader = f"reader_{shop.kind}"
    if shop.kind == "postgresql":
        shop.run(f"DROP ROLE IF EXISTS {reader}")
        shop.run(f"CREATE ROLE {reader} LOGIN PASSWORD 'only-reads'")
    else:
        shop.run(f"GRANT CREATE VIEW ON {shop.url.rpartition('/')[2]}.* TO '{reader}'@'%' IDENTIFIED BY 'only-reads'")
    scheme, _, rest = shop.url.partition("://")
    closed = replace(shop, url=f"{scheme}://{reader}:only-reads@{rest.partition('@')[2]}")
    refused = read(closed, Statement("SELECT id FROM goods", "datasets.sql"))
    assert isinstance(refused, UserSqlError)
    assert re.match(r"datasets\.sql: .*denied.*goods", str(refused))
