"""A shop whose trades change from night to night, in late, corrected, moved and deleted rows, by a seed."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import NamedTuple

from testkit.source_databases import SourceDatabase

# Naive in UTC, but for PostgreSQL, whose times have their zone. SQLite keeps what is inserted.
_TIME_TYPES = {"postgresql": "timestamptz", "mariadb": "DATETIME(6)", "sqlite": "", "duckdb": "TIMESTAMP"}
# Times outside of the calendar, or without one. MariaDB rejects its own zero date in the strict mode of a session.
_ODD_TIMES = {
    "postgresql": ("NULL", "'infinity'", "timestamptz '0044-03-15 BC'"),
    "mariadb": ("NULL",),
    "sqlite": ("NULL", "'0000-00-00 00:00:00'", "0", "'2026-02-30 08:00:00'"),
    "duckdb": ("NULL", "'infinity'", "DATE '12026-01-01'"),
}
# The EXTRACTION_SQL of the shop.
SQL = {
    "users.sql": "SELECT DISTINCT who AS id FROM trades",
    "datasets.sql": "SELECT DISTINCT what AS id, 'a dataset' AS title FROM trades",
    "interactions.sql": (
        "SELECT who AS user_id, what AS dataset_id, kind AS type, paid AS price, done_at AS ts FROM trades"
    ),
}
_USERS, _DATASETS = 40, 60
# The share of changes that concern old trades.
_OLD_SHARE = 0.1
_KINDS = ("click", "view", "favorite", "purchase")


class _Trade(NamedTuple):
    who: int
    what: int
    kind: str
    paid: float | None
    at: datetime | None  # None: an odd time


class ChangingShop:
    """The table `trades` of a database, with some days of history before the moment `now`."""

    def __init__(
        self, source: SourceDatabase, seed: int, now: datetime, *, history_days: int = 80, rows_of_a_day: int = 15
    ) -> None:
        self._source = source
        self._random = Random(seed)
        self._now = now
        self._rows_of_a_day = rows_of_a_day
        self._trades: dict[int, _Trade] = {}
        self._next = 1
        self._touched: set[date] = set()
        time = _TIME_TYPES[source.kind]
        source.run(
            "CREATE TABLE trades (id INTEGER PRIMARY KEY, who INTEGER, what INTEGER, kind VARCHAR(20), "
            f"paid DOUBLE PRECISION, done_at {time})"
        )
        source.run("CREATE INDEX trades_at ON trades (done_at)")
        self._insert(self._trade(0, history_days) for _ in range(history_days * rows_of_a_day))
        self._add_odd_times()

    def pass_day(self) -> set[date]:
        """Change the table as in the following day, and return the UTC days whose rows have changed."""
        random = self._random
        self._now += timedelta(days=1)
        self._touched = set()
        self._insert(self._trade(0, 1) for _ in range(self._rows_of_a_day))
        # Late ones within a week, and one in the future.
        self._insert([*(self._trade(1, 6) for _ in range(3)), self._trade(-3, -1)])
        if random.random() < _OLD_SHARE:
            self._insert([self._trade(8, 70)])
        changes: list[Callable[[_Trade], _Trade]] = [
            lambda each: each._replace(paid=round(random.uniform(1, 99), 2)),
            lambda each: each._replace(paid=None),
            lambda each: each._replace(kind=random.choice(_KINDS)),
            lambda each: each._replace(who=random.randint(1, _USERS)),
            lambda each: each._replace(what=random.randint(1, _DATASETS)),
            lambda each: each._replace(at=self._time(0, 70 if random.random() < _OLD_SHARE else 6)),
            lambda each: each._replace(at=self._moved(each.at)),
        ]
        for change in changes:
            number = self._choose()
            self._update(number, change(self._trades[number]))
        one, other = self._choose(), self._choose()
        first, second = self._trades[one], self._trades[other]
        self._update(one, first._replace(at=second.at))
        self._update(other, second._replace(at=first.at))
        self._delete([self._choose(), self._choose()])
        if random.random() < _OLD_SHARE:
            user = random.randint(1, _USERS)
            self._delete([number for number, each in self._trades.items() if each.who == user])
        if random.random() < 0.3:
            self._add_odd_times()
        return self._touched

    def _trade(self, least_days: float, most_days: float) -> _Trade:
        random = self._random
        paid = None if random.random() < 0.3 else round(random.uniform(1, 99), 2)
        who, what, kind = random.randint(1, _USERS), random.randint(1, _DATASETS), random.choice(_KINDS)
        return _Trade(who, what, kind, paid, self._time(least_days, most_days))

    def _time(self, least_days: float, most_days: float) -> datetime:
        return self._now - timedelta(seconds=round(self._random.uniform(least_days, most_days) * 86_400))

    def _moved(self, at: datetime | None) -> datetime:
        """Return a time that is a microsecond away, if the database can tell."""
        return (at or self._now) + timedelta(microseconds=1)

    def _choose(self) -> int:
        """Return a trade of any time, mostly one of the last week."""
        first = self._now - timedelta(days=100 if self._random.random() < _OLD_SHARE else 6)
        return self._random.choice(
            [number for number, each in self._trades.items() if each.at is not None and each.at > first]
        )

    def _insert(self, trades: Iterable[_Trade]) -> None:
        rows = []
        for trade in trades:
            self._trades[self._next] = trade
            self._note(trade)
            paid = "NULL" if trade.paid is None else str(trade.paid)
            rows.append(f"({self._next}, {trade.who}, {trade.what}, '{trade.kind}', {paid}, {self._literal(trade.at)})")
            self._next += 1
        self._source.run(f"INSERT INTO trades (id, who, what, kind, paid, done_at) VALUES {', '.join(rows)}")

    def _update(self, number: int, trade: _Trade) -> None:
        self._note(self._trades[number])
        self._note(trade)
        self._trades[number] = trade
        paid = "NULL" if trade.paid is None else str(trade.paid)
        self._source.run(
            f"UPDATE trades SET who = {trade.who}, what = {trade.what}, kind = '{trade.kind}', paid = {paid}, "
            f"done_at = {self._literal(trade.at)} WHERE id = {number}"
        )

    def _delete(self, numbers: list[int]) -> None:
        for number in set(numbers):
            self._note(self._trades.pop(number))
        listed = ", ".join(map(str, [0, *numbers]))
        self._source.run(f"DELETE FROM trades WHERE id IN ({listed})")

    def _add_odd_times(self) -> None:
        """Insert a trade of each odd time; they are not among those that change."""
        for time in _ODD_TIMES[self._source.kind]:
            trade = self._trade(0, 1)._replace(at=None)
            self._source.run(
                f"INSERT INTO trades VALUES ({self._next}, {trade.who}, {trade.what}, '{trade.kind}', NULL, {time})"
            )
            self._next += 1

    def _literal(self, at: datetime | None) -> str:
        if at is None:
            return "NULL"
        offset = "+00" if self._source.kind == "postgresql" else ""
        return f"'{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}{offset}'"

    def _note(self, trade: _Trade) -> None:
        if trade.at is not None:
            self._touched.add(trade.at.astimezone(UTC).date())
