"""Reads a table day by day: only what may have changed comes from the database, the rest from the store of partitions.

The newest days are read each time. Older days, the settled ones, are partitions. Each time, a few of them are compared
with the database by number and checksum of their rows; all of them are compared if one of those differs, if users were
forgotten, and once a week. A day that differs is read again. A full extraction is the same with an empty store.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

import pyarrow as pa

from business import BusinessDatabase, Statement
from pipeline.artifacts import join
from pipeline.extract.columns import INTERACTIONS
from pipeline.extract.conversion import DAY, Converter, check_columns
from pipeline.extract.day_rows import DayRows, is_in_calendar
from pipeline.extract.day_store import DayStore, Index, Partition

COMPARE_EVERY = timedelta(days=7)
# Compared each time, besides the oldest and the newest settled day. Others each day.
_SPOT_CHECKS = 8
_FORMAT = 1
_TABLE = "interactions"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractedStore:
    """Where partitions of earlier extractions are, the time of the clock, and the version of the code.

    With `is_full` nothing of what is there is used.
    """

    address: str
    now: datetime
    code: str
    is_full: bool = False


@dataclass(frozen=True)
class DaySource:
    """A table whose rows have the columns of interactions: where it is, and the column that its days are of.

    Rows of a day may come until `settles_after` the day's end; later ones are found by a comparison. `removals` grows
    with each removal of rows from any day: then all days are compared.
    """

    name: str
    database: BusinessDatabase
    statement: Statement
    zone: tzinfo
    time: str
    settles_after: timedelta
    removals: int = 0


class _DaySum(NamedTuple):
    rows: int
    checksum: str


class DayReader:
    """Reads a table day by day; raises `InputError` if a required column is missing.

    After reading, `has_days` is false if no row has a day for the database, because the times are texts or numbers.
    """

    def __init__(self, source: DaySource, converter: Converter, store: ExtractedStore | None) -> None:
        probe = source.database.rows(source.statement, where="1 = 0")
        for _ in probe:
            pass
        check_columns(_TABLE, source.statement, probe.columns)
        type_ = dict(zip(probe.columns, probe.types, strict=True))[source.time]
        self.has_days = source.database.days.has_type(type_)
        self._source = source
        self._queries = _Queries(source, converter, [name for name in INTERACTIONS.names if name in probe.columns])
        self._store = store
        self._described = "" if store is None else _describe(source, store, probe.columns, type_)

    def read(self) -> Iterator[pa.Table]:
        """Yield all rows, each day's in one order; those without a day come last."""
        if self._store is not None and self.has_days:
            reader = _IncrementalReader(self._source, self._queries, self._store, self._described)
            yield from reader.read()
            self.has_days = reader.has_days
        else:
            rows = self._queries.read("", None if self.has_days else "NULL")
            self.has_days = _have_days(rows)
            for day in (*rows.days, None):
                yield rows.of_day(day)
        if not self.has_days and self._store is not None:
            _log.info(
                "%s: the database can't group %s by day; all rows are read each time",
                self._source.name,
                self._source.time,
            )


def _describe(source: DaySource, store: ExtractedStore, columns: list[str], type_: str) -> str:
    """Return a checksum of everything that the content of the partitions depends on, except for the data."""
    parts = [_FORMAT, store.code, source.database.address, source.statement.sql, str(source.zone), columns, type_]
    return hashlib.sha256(json.dumps([*parts, source.settles_after.total_seconds()]).encode()).hexdigest()


class _Queries:
    """The statements of one table, and conditions on its days."""

    def __init__(self, source: DaySource, converter: Converter, columns: list[str]) -> None:
        self._source = source
        self._converter = converter
        self._columns = columns
        self._days = source.database.days

    def read(self, where: str, day: str | None = None) -> DayRows:
        """Return the rows that meet a condition."""
        key = self._days.day_or_null(self._source.time) if day is None else day
        batches = self._converter.batches(
            self._source.database,
            _TABLE,
            self._source.statement,
            self._source.zone,
            columns=("q.*", f"{key} AS {DAY}"),
            where=where,
            what=self._source.name,
        )
        return DayRows(batches)

    def sums(self, where: str) -> dict[str, _DaySum]:
        """Return the number and the checksum of the rows of each day that has any and meets a condition."""
        day, has_day = (text.format(time=self._source.time) for text in (self._days.day, self._days.has_day))
        checksum = self._days.checksum(self._columns)
        result = self._source.database.rows(
            self._source.statement,
            columns=(f"{day} AS {DAY}", "COUNT(*) AS recsys_rows", f"{checksum} AS recsys_sum"),
            where=f"{has_day} AND ({where})",
            group_by="1",
        )
        return {key: _DaySum(int(rows), str(found)) for batch in result for key, rows, found in batch}

    def before(self, end: date) -> str:
        return f"{self._source.time} < '{end}'"

    def since(self, first: date) -> str:
        return f"{self._source.time} >= '{first}'"

    def without_day(self) -> str:
        return self._days.has_none.format(time=self._source.time)

    def in_days(self, days: Collection[str]) -> str:
        """Return a condition that an index on the time can serve, where the days are in the calendar."""
        time = self._source.time
        ranges: list[list[date]] = []
        others = []
        for day in sorted(days):
            first = _parse_day(day)
            if first is None:
                others.append(day)
            elif ranges and ranges[-1][1] == first:
                ranges[-1][1] = first + timedelta(days=1)
            else:
                ranges.append([first, first + timedelta(days=1)])
        parts = [f"({time} >= '{first}' AND {time} < '{end}')" for first, end in ranges]
        if others:
            listed = ", ".join(f"'{day}'" for day in others if _is_plain(day))
            parts.append(f"{self._days.day.format(time=time)} IN ({listed})")
        return " OR ".join(parts) or "1 = 0"


def _parse_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _is_plain(day: str) -> bool:
    return set(day) <= set("0123456789-")


class _IncrementalReader:
    def __init__(self, source: DaySource, queries: _Queries, store: ExtractedStore, described: str) -> None:
        self._source = source
        self._queries = queries
        self._now = store.now
        self._described = described
        self._days = DayStore(join(store.address, source.name))
        self._index = None if store.is_full else self._days.load_index(described)
        self.has_days = True

    def read(self) -> Iterator[pa.Table]:
        settled_until = (self._now - self._source.settles_after).date()
        index = self._index
        if index is None:
            rows = self._queries.read("")
            sums = self._queries.sums(self._queries.before(settled_until))
            known: dict[str, Partition] = {}
            compared_at = self._now
        else:
            # Never earlier than before, when the clock has been set back.
            settled_until = max(settled_until, index.settled_until)
            compared_at, found = self._compare(index)
            changed = {day for day, each in index.days.items() if day in found and found[day] != _sum_of(each)}
            gone = {day for day in index.days if day in found and not found[day].rows}
            again = {*self._new_days(index, found), *changed, *self._days.missing_days(index), *index.unsettled} - gone
            known = {day: each for day, each in index.days.items() if day not in again and day not in gone}
            rows, sums = self._read_again(index, again, settled_until)
            self._log_read(rows, known, changed | gone, is_whole=compared_at == self._now)
        yield from self._settle(rows, sums, known, settled_until, compared_at)

    def _compare(self, index: Index) -> tuple[datetime, dict[str, _DaySum]]:
        """Compare some days or all; return when all were compared last, and the sums of the compared days."""
        if self._now - index.compared_at < COMPARE_EVERY and index.removals == self._source.removals:
            checked = spot_checked(sorted(index.days), self._now.date())
            found = _complete(self._queries.sums(self._queries.in_days(checked)), checked)
            if all(found[day] == _sum_of(index.days[day]) for day in checked):
                return index.compared_at, found
        sums = self._queries.sums(self._queries.before(index.settled_until))
        return self._now, _complete(sums, index.days)

    @staticmethod
    def _new_days(index: Index, found: Mapping[str, _DaySum]) -> set[str]:
        return {day for day in found if day not in index.days}

    def _read_again(
        self, index: Index, again: Collection[str], settled_until: date
    ) -> tuple[DayRows, dict[str, _DaySum]]:
        queries = self._queries
        days = queries.in_days(again)
        rows = queries.read(f"{queries.since(index.settled_until)} OR {queries.without_day()} OR {days}")
        newest = f"({queries.since(index.settled_until)} AND {queries.before(settled_until)})"
        return rows, queries.sums(f"{newest} OR {days}")

    def _settle(
        self,
        rows: DayRows,
        sums: Mapping[str, _DaySum],
        known: dict[str, Partition],
        settled_until: date,
        compared_at: datetime,
    ) -> Iterator[pa.Table]:
        """Yield all days, store the new settled ones, and write the index at the end."""
        self.has_days = bool(known) or _have_days(rows)
        settled = dict(known)
        unsettled = []
        read = set(rows.days)
        for day in sorted(read | known.keys()):
            if day not in read:
                if (table := self._days.load_partition(known[day])) is None:
                    # The next run stores what is read now.
                    table = self._queries.read(self._queries.in_days([day])).of_day(day)
                    del settled[day]
                    unsettled.append(day)
                yield table
                continue
            table = rows.of_day(day)
            if day < str(settled_until):
                each = sums.get(day)
                # Without a snapshot of its own (MyISAM), a database may change between two queries.
                if each is not None and each.rows == len(table) and is_in_calendar(table):
                    settled[day] = Partition(
                        file=self._days.write_partition(day, table), rows=each.rows, checksum=each.checksum
                    )
                else:
                    unsettled.append(day)
            yield table
        yield rows.of_day(None)
        self._days.commit(
            Index(
                source=self._described,
                settled_until=settled_until,
                compared_at=compared_at,
                removals=self._source.removals,
                days=settled,
                unsettled=unsettled,
            )
        )

    def _log_read(
        self, rows: DayRows, known: Mapping[str, Partition], changed: Collection[str], *, is_whole: bool
    ) -> None:
        _log.info(
            "%s: %s rows of %d days read, %s rows of %d days from earlier extractions; %s compared, %d changed",
            self._source.name,
            f"{len(rows):,}",
            len(rows.days),
            f"{sum(each.rows for each in known.values()):,}",
            len(known),
            "all older days" if is_whole else "some older days",
            len(changed),
        )


def _have_days(rows: DayRows) -> bool:
    return bool(rows.days) or not len(rows)


def _complete(sums: dict[str, _DaySum], days: Collection[str]) -> dict[str, _DaySum]:
    """Return the sums with those of the days that have no rows."""
    return {day: _DaySum(0, "") for day in days} | sums


def _sum_of(partition: Partition) -> _DaySum:
    return _DaySum(partition.rows, partition.checksum)


def spot_checked(days: list[str], today: date) -> list[str]:
    """Return the days that each run compares: the oldest and the newest, and others between them, which take turns."""
    step = max(1, len(days) // _SPOT_CHECKS)
    return sorted({*days[:1], *days[-1:], *days[today.toordinal() % step :: step]})
