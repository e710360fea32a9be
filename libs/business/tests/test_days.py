"""The number and the checksum of the rows of each day, on each kind of database."""

import pytest

from business import Statement, open_business_database
from testkit.source_databases import SourceDatabase

_COLUMNS = ("who", "what", "kind", "paid", "done_at")
_TIME_TYPES = {"sqlite": "TEXT", "mariadb": "DATETIME(6)", "duckdb": "TIMESTAMP", "postgresql": "TIMESTAMPTZ"}
_STATEMENT = Statement("SELECT who, what, kind, paid, done_at FROM trades", "trades")
_ROWS = (
    "(1, 7, 8, 'view', 9.5, '2026-03-01 08:00:00')",
    "(2, 8, 7, 'view', NULL, '2026-03-01 23:59:59.999999')",
    "(3, 7, 8, 'click', 2, '2026-03-02 00:00:00')",
    "(4, 7, 8, NULL, NULL, NULL)",
)


@pytest.fixture
def trades(source_database: SourceDatabase) -> SourceDatabase:
    """Two trades on the first of March, one on the second, and one without a time."""
    source_database.run(
        "CREATE TABLE trades (id INTEGER PRIMARY KEY, who INTEGER, what INTEGER, kind VARCHAR(20), "
        f"paid DOUBLE PRECISION, done_at {_TIME_TYPES[source_database.kind]})"
    )
    source_database.run(f"INSERT INTO trades VALUES {', '.join(_ROWS)}")
    return source_database


def sums(trades: SourceDatabase) -> dict[str, tuple[int, str]]:
    with open_business_database(trades.url, "X") as database:
        days = database.days
        found = database.rows(
            _STATEMENT,
            columns=(f"{days.day.format(time='done_at')} AS d", "COUNT(*) AS n", f"{days.checksum(_COLUMNS)} AS c"),
            where=days.has_day.format(time="done_at"),
            group_by="1",
        )
        return {day: (rows, checksum) for batch in found for day, rows, checksum in batch}


def test_days_have_their_rows_and_a_row_without_a_time_has_no_day(trades: SourceDatabase) -> None:
    found = sums(trades)
    assert {day: rows for day, (rows, _) in found.items()} == {"2026-03-01": 2, "2026-03-02": 1}
    assert found == sums(trades)
    with open_business_database(trades.url, "X") as database:
        days = database.days
        probe = database.rows(_STATEMENT, where="1 = 0")
        assert (list(probe), days.has_type(probe.types[4])) == ([], True)
        result = database.rows(_STATEMENT, columns=("who", days.day_or_null("done_at") + " AS d"))
        assert sorted(str(day) for batch in result for _, day in batch) == [
            "2026-03-01",
            "2026-03-01",
            "2026-03-02",
            "None",
        ]
        without = database.rows(_STATEMENT, columns=("kind",), where=days.has_none.format(time="done_at"))
        assert [row for batch in without for row in batch] == [(None,)]


# Each change after those above it, and the days that it changes.
CHANGES = [
    # The same users and datasets in other pairs.
    ("UPDATE trades SET what = 15 - what WHERE id < 3", {"2026-03-01"}),
    ("UPDATE trades SET who = 9 WHERE id = 1", {"2026-03-01"}),
    ("UPDATE trades SET what = 9 WHERE id = 1", {"2026-03-01"}),
    ("UPDATE trades SET kind = 'click' WHERE id = 1", {"2026-03-01"}),
    ("UPDATE trades SET paid = 9.51 WHERE id = 1", {"2026-03-01"}),
    ("UPDATE trades SET paid = NULL WHERE id = 3", {"2026-03-02"}),
    ("UPDATE trades SET done_at = '2026-03-01 08:00:00.000001' WHERE id = 1", {"2026-03-01"}),
    # A value in the neighbouring column.
    ("UPDATE trades SET who = 78, what = NULL WHERE id = 1", {"2026-03-01"}),
    # Rows exchanged between two days.
    (
        "UPDATE trades SET done_at = CASE id WHEN 1 THEN '2026-03-02' ELSE '2026-03-01 08:00:00' END WHERE id % 2 = 1",
        {"2026-03-01", "2026-03-02"},
    ),
    ("DELETE FROM trades WHERE id = 3", {"2026-03-01"}),
    ("UPDATE trades SET id = id + 10", set()),
]


def test_a_checksum_sees_every_change_of_a_row(trades: SourceDatabase) -> None:
    before = sums(trades)
    for change, changed in CHANGES:
        typed = trades.kind in {"postgresql", "duckdb"}
        trades.run(change.replace("'2026", "TIMESTAMP '2026") if typed else change)
        after = sums(trades)
        assert {day for day in before if before[day] != after.get(day)} == changed, change
        before = after
