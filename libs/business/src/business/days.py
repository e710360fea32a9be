"""SQL that groups rows by the day of a time column, and sums up the rows of a day, on each kind of database."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SQLITE_ROWS_HASH = "recsys_rows_hash"
_MODULUS = 2**64


@dataclass(frozen=True)
class DaySql:
    """Expressions with the placeholder `{time}`, the column, and `{row}` in `row_sum`, its columns.

    The day is the one that the database itself shows in a session in UTC: the UTC day of a time with a zone, the
    written day of one without.
    """

    # The types of columns that can be compared and grouped; a text is only on SQLite, which has no type for times.
    time_types: frozenset[str]
    # The day as `YYYY-MM-DD`, of rows that have one.
    day: str
    # Whether a row has a day of the calendar. `has_none` is its opposite, in a form that can use an index.
    has_day: str
    has_none: str
    # An aggregate of all values of the rows that doesn't depend on their order, as a text.
    row_sum: str
    # One column of a row, in `row_sum`.
    value: str = "{column}"

    def has_type(self, type_: str) -> bool:
        """Return whether a column of this type has days."""
        return type_ in self.time_types

    def day_or_null(self, time: str) -> str:
        """Return the expression of the day, NULL for a row without one."""
        return f"CASE WHEN {self.has_day.format(time=time)} THEN {self.day.format(time=time)} END"

    def checksum(self, columns: Sequence[str]) -> str:
        """Return the aggregate over these columns of the rows."""
        return self.row_sum.format(row=", ".join(self.value.format(column=column) for column in columns))


_IN_CALENDAR = "({time} >= '1000-01-01' AND {time} < '9999-01-01')"
_NOT_IN_CALENDAR = "({time} IS NULL OR {time} < '1000-01-01' OR {time} >= '9999-01-01')"
# The types are numbers of the catalogue: date, timestamp, timestamptz.
POSTGRESQL_DAYS = DaySql(
    frozenset({"1082", "1114", "1184"}),
    "to_char({time}, 'YYYY-MM-DD')",
    _IN_CALENDAR,
    _NOT_IN_CALENDAR,
    "CAST(sum(hashtextextended(CAST(ROW({row}) AS text), 0)) AS text)",
)
# The types are numbers of the protocol: TIMESTAMP, DATE, DATETIME, NEWDATE. The lengths separate the values.
MYSQL_DAYS = DaySql(
    frozenset({"7", "10", "12", "14"}),
    "DATE_FORMAT({time}, '%Y-%m-%d')",
    _IN_CALENDAR,
    _NOT_IN_CALENDAR,
    "CAST(SUM(CAST(CONV(LEFT(MD5(CONCAT({row})), 15), 16, 10) AS UNSIGNED)) AS CHAR)",
    "IFNULL(CONCAT(LENGTH({column}), ':', CAST({column} AS BINARY)), '-')",
)
DUCKDB_DAYS = DaySql(
    frozenset({"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}),
    "left(CAST({time} AS VARCHAR), 10)",
    _IN_CALENDAR,
    _NOT_IN_CALENDAR,
    "CAST(sum(hash({row})) AS VARCHAR)",
)
# The addition makes the thirtieth of February another day.
_DAY_OF_TEXT = "(typeof({time}) = 'text' AND date(substr({time}, 1, 10), '+0 days') = substr({time}, 1, 10))"
SQLITE_DAYS = DaySql(
    frozenset({""}),
    "substr({time}, 1, 10)",
    _DAY_OF_TEXT,
    f"({_DAY_OF_TEXT} IS NOT TRUE)",
    f"{SQLITE_ROWS_HASH}({{row}})",
)


class RowsHash:
    """The aggregate of SQLite, which has no hash function of its own."""

    def __init__(self) -> None:
        self._sum = 0

    def step(self, *values: Any) -> None:
        """Add a row."""
        hashed = hashlib.blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self._sum = (self._sum + int.from_bytes(hashed, "big")) % _MODULUS

    def finalize(self) -> str:
        """Return the sum of all rows as a text."""
        return str(self._sum)
