"""Evaluates SQL expressions in a process of its own: a query may use up its memory, or never end.

`python -m pipeline.columns.worker` reads one JSON document from standard input. It writes a line when it has read the
tables, and one after each expression: `{}` or `{"error": …}`. DuckDB reads no file but the run's tables, and its
settings are locked.
"""

import json
import re
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

# For reading the tables.
SECONDS_TO_START = 300.0
# The process that began this one ends it in time, unless it was killed itself.
_GRACE_SECONDS = 10.0
TABLES = ("datasets", "users", "interactions")
# Of the process; DuckDB's own limit is lower, and doesn't count the values of one row.
_MAX_ADDRESS_BYTES = 6 * 2**30
_MEMORY_LIMIT = "1500MB"
_COMMENT = r"--[^\n]*(?:\n|$)|/\*.*?\*/"
_QUERY = re.compile(rf"\s*(?:(?:{_COMMENT})\s*)*(?:select|with|from)\b", re.IGNORECASE | re.DOTALL)
# DuckDB names the functions of chance itself, but files these among all that depend on a time zone.
_CLOCKS = ("get_current_time", "get_current_timestamp", "now", "today", "transaction_timestamp", "txid_current")
# With and without brackets.
_CLOCK_WORDS = "current_date|(?:current_|local|current_local)time(?:stamp)?"
_WHOLE = re.compile(r"U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?|UINTEGER")
_NUMBER = re.compile(rf"{_WHOLE.pattern}|FLOAT|DOUBLE|BOOLEAN|DECIMAL\(.*\)|\"NULL\"")
_CATEGORY = re.compile(rf"{_WHOLE.pattern}|VARCHAR|UUID|BOOLEAN|ENUM\(.*\)|\"NULL\"")


class UnusableExpressionError(ValueError):
    """The expression doesn't give one value for each dataset or user; the message says why."""


def main() -> None:
    """Evaluate all expressions; the values of number i are written to `i.parquet` below `out`."""
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_BYTES, _MAX_ADDRESS_BYTES))
    _end_after(SECONDS_TO_START)
    task = json.load(sys.stdin)
    connection = connect(task)
    _say({})
    for number, column in enumerate(task["columns"]):
        _end_after(task["seconds"])
        try:
            values = evaluate(connection, column["table"], column["sql"], column["type"])
            pq.write_table(values, Path(task["out"], f"{number}.parquet"))
            outcome = {}
        except UnusableExpressionError as error:
            outcome = {"error": str(error)}
        _say(outcome)


def _end_after(seconds: float) -> None:
    """Let the system end this process, also in the middle of a query."""
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)


def _say(outcome: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(outcome) + "\n")
    sys.stdout.flush()


def connect(task: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """Return a database in memory with the tables, and with the ids that get a value (`recsys_datasets` and so on)."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": _MEMORY_LIMIT,
            # Sums don't depend on the order in which threads end.
            "threads": 1,
        },
    )
    sources = {name: Path(task["clean"], f"{name}.parquet") for name in TABLES}
    sources |= {f"recsys_{name}": Path(task["out"], f"ids_{name}.parquet") for name in ("datasets", "users")}
    for name, path in sources.items():
        # The largest table is only read if an expression names it.
        if name != "interactions" or any(name in column["sql"].lower() for column in task["columns"]):
            connection.read_parquet(str(path)).create(name)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET VARIABLE as_of = CAST($1 AS TIMESTAMPTZ)", [task["as_of"]])
    for setting in ("temp_directory = ''", "enable_external_access = false", "lock_configuration = true"):
        connection.execute(f"SET {setting}")
    return connection


def evaluate(connection: duckdb.DuckDBPyConnection, table: str, sql: str, kind: str) -> pa.Table:
    """Return an Arrow table of `id` and `value`, a text for a category, else a float64.

    Raises `UnusableExpressionError`.
    """
    try:
        _check_repeatable(connection, sql)
        return _evaluate(connection, table, sql, kind)
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        message = f"it needs more than {_MEMORY_LIMIT} of memory: write a cheaper expression"
        raise UnusableExpressionError(message) from error
    except duckdb.ParserException as error:
        hint = "; write one expression, or one SELECT, without a semicolon" if ";" in sql else ""
        raise UnusableExpressionError(_describe(connection, error) + hint) from error
    except duckdb.Error as error:
        raise UnusableExpressionError(_describe(connection, error)) from error


def _check_repeatable(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise for functions of chance and of the clock: a refresh has to give what the training had."""
    rows = connection.execute("SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'")
    names = [*_CLOCKS, *(re.escape(name) for (name,) in rows.fetchall())]
    text = re.sub(rf"{_COMMENT}|'(?:[^']|'')*'", " ", sql, flags=re.DOTALL)
    found = re.search(rf"\b(?:(?:{'|'.join(names)})\s*\(|(?:{_CLOCK_WORDS})\b)", text, re.IGNORECASE)
    if found is not None:
        raise UnusableExpressionError(
            f"{found[0].rstrip('( ')} gives another value in each run; the moment of the run is getvariable('as_of')"
        )


def _evaluate(connection: duckdb.DuckDBPyConnection, table: str, sql: str, kind: str) -> pa.Table:
    # On lines of its own: the expression may end with a comment.
    query = f"SELECT * FROM (\n{sql}\n)" if _QUERY.match(sql) else f"SELECT id, (\n{sql}\n) FROM {table}"  # noqa: S608 - the user's own SQL, in a sandbox
    if [statement.type for statement in connection.extract_statements(query)] != [duckdb.StatementType.SELECT]:
        raise UnusableExpressionError("write one expression, or one SELECT, without a semicolon")
    described = connection.execute(f"DESCRIBE {query}").fetchall()
    _check_types([row[1] for row in described], kind)
    _check_id(described[0][0], table)
    target = "VARCHAR" if kind == "category" else "DOUBLE"
    found: pa.Table = connection.sql(
        f"""
        SELECT id, first(value) AS value, count(*) AS values
        FROM (SELECT CAST(a AS BIGINT) AS id, CAST(b AS {target}) AS value FROM ({query}) AS found(a, b))
        WHERE id IN (SELECT id FROM recsys_{table})
        GROUP BY id ORDER BY id
        """  # noqa: S608 - as above
    ).to_arrow_table()
    repeated = found.filter(found["values"].to_numpy() > 1)
    if len(repeated):
        first = repeated.slice(0, 1).to_pylist()[0]
        raise UnusableExpressionError(
            f"id {first['id']} has {first['values']} values, and {len(repeated) - 1} other ids have several: "
            "write one for each id, by GROUP BY"
        )
    return found.drop_columns("values")


def _check_types(types: list[str], kind: str) -> None:
    if len(types) != 2:
        raise UnusableExpressionError(f"a SELECT gives two columns, the id and the value; this one has {len(types)}")
    key, value = types
    if not _WHOLE.fullmatch(key):
        raise UnusableExpressionError(f"the first column of a SELECT is the id, a whole number; this is {key}")
    if kind == "number" and not _NUMBER.fullmatch(value):
        other = ", or write `type: category`" if _CATEGORY.fullmatch(value) else ""
        raise UnusableExpressionError(f"the value is {value}, not a number: cast it{other}")
    if kind == "category" and not _CATEGORY.fullmatch(value):
        raise UnusableExpressionError(f"the value is {value}; a category is a text or a whole number: cast it")


def _check_id(name: str, table: str) -> None:
    others = {"datasets": "user_id", "users": "dataset_id"}
    if name.lower() == others[table]:
        raise UnusableExpressionError(f"the first column of a SELECT is the id of {table}; this is {name}")


def _describe(connection: duckdb.DuckDBPyConnection, error: Exception) -> str:
    """Return the first paragraph of an error; for a name that is unknown with those that there are."""
    message = " ".join(str(error).strip().split("\n\n")[0].split()) or type(error).__name__
    if not isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        return message
    columns = connection.execute(
        "SELECT table_name, string_agg(column_name, ', ' ORDER BY column_index) FROM duckdb_columns() "
        "WHERE table_name IN (SELECT unnest($1)) GROUP BY table_name ORDER BY table_name",
        [list(TABLES)],
    ).fetchall()
    return f"{message}; there are {'; '.join(f'{table}: {names}' for table, names in columns)}"


if __name__ == "__main__":
    main()
