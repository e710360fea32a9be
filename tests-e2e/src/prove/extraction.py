"""Incremental extraction gives the rows of a full one, over nights in which rows come late, change and disappear.

Each night the shop's table is extracted twice: with the store of earlier nights, and in full. The two files must be
equal, byte for byte, unless a day that was settled has changed since all days were compared last. Then only the rows of
such days may differ. Some nights also rebuild an earlier day.
"""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import SecretStr

from bench.results import Goal, Result
from pipeline.extract import AsOf, ExtractedStore, extract, open_business
from pipeline.extract.day_store import INDEX, Index
from testkit.changing_shop import SQL, ChangingShop
from testkit.mariadb import running_mariadb
from testkit.postgres import running_cluster
from testkit.source_databases import SourceDatabase, mariadb_source, postgresql_source, sqlite_source

_FIRST_NIGHT = datetime(2026, 3, 1, 3, tzinfo=UTC)
_NIGHTS = 30
_SEEDS = 5
_REBUILD_EVERY = 4
_REBUILT_DAYS = 9
_WINDOW = timedelta(days=7)
_DATABASE = "shop"


@dataclass
class Nights:
    """What the nights were like, and the faults."""

    extractions: int = 0
    compared_nights: int = 0
    rows: int = 0
    read_rows: int = 0
    stale_nights: int = 0
    faults: list[str] = field(default_factory=list)


def prove(folder: Path, seed: int) -> list[Result]:
    """Return the results for each kind of database."""
    results: list[Result] = []
    with ExitStack() as stack:
        cluster, server = stack.enter_context(running_cluster()), stack.enter_context(running_mariadb())
        for kind in ("sqlite", "postgresql", "mariadb"):
            nights = Nights()
            for number in range(_SEEDS):
                name = f"{_DATABASE}_{number}"
                place = folder / f"{kind}-{number}"
                place.mkdir()
                if kind == "postgresql":
                    cluster.ensure_database(name)
                    source = postgresql_source(cluster.url(name))
                elif kind == "mariadb":
                    server.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
                    source = mariadb_source(server, server.url(name))
                else:
                    source = sqlite_source(place / "shop.db")
                simulate(source, place, seed + number, _NIGHTS, nights)
            results += _results(kind, nights)
    return results


def _results(kind: str, nights: Nights) -> list[Result]:
    return [
        Result(f"extraction, {kind}: extractions compared with full ones", nights.extractions, "", Goal(least=150)),
        Result(f"extraction, {kind}: that differ in what they must have", len(nights.faults), "", Goal(most=0)),
        Result(f"extraction, {kind}: nights that lack an old change", nights.stale_nights, ""),
        Result(f"extraction, {kind}: nights that compared all days", nights.compared_nights, "", Goal(least=15)),
        Result(f"extraction, {kind}: share of the rows read anew", nights.read_rows / nights.rows, "", Goal(most=0.5)),
    ]


def simulate(source: SourceDatabase, folder: Path, seed: int, nights: int, found: Nights) -> None:
    """Let nights pass in a shop in an empty database, and add what happens to `found`."""
    sql = folder / "sql"
    sql.mkdir()
    for name, statement in SQL.items():
        (sql / name).write_text(statement, encoding="utf-8")
    shop = ChangingShop(source, seed, _FIRST_NIGHT)
    case = _Case(source, folder, sql)
    changed: set[date] = set()
    for night in range(nights):
        now = _FIRST_NIGHT + timedelta(days=night)
        if night:
            changed |= {day for day in shop.pass_day() if day < (now - _WINDOW).date()}
        changed = case.check(now, now, changed, found)
        if night % _REBUILD_EVERY == 1:
            changed = case.check(now, now - timedelta(days=_REBUILT_DAYS), changed, found)


class _Case:
    def __init__(self, source: SourceDatabase, folder: Path, sql: Path) -> None:
        self._source = source
        self._folder = folder
        self._sql = sql

    def check(self, now: datetime, as_of: datetime, changed: set[date], found: Nights) -> set[date]:
        """Compare an incremental extraction with a full one; return the changed days that it may not have seen."""
        store = ExtractedStore(str(self._folder / "store"), now, "the code")
        before = self._partitions()
        incremental = self._extract("incremental", AsOf(as_of, now), store)
        full = self._extract("full", AsOf(as_of, now), None)
        index = self._index()
        found.extractions += 1
        found.rows += pq.read_metadata(full).num_rows
        kept = {day: each.rows for day, each in index.days.items() if before.get(day) == each.file}
        found.read_rows += max(0, pq.read_metadata(full).num_rows - sum(kept.values()))
        if index.compared_at == now:
            found.compared_nights += 1
            changed = set()
        if incremental.read_bytes() != full.read_bytes():
            differing = _differing_days(incremental, full)
            found.stale_nights += 1
            if not differing or not differing <= changed:
                days = ", ".join(map(str, sorted(differing - changed))) or "their order"
                found.faults.append(f"{self._source.kind} as of {as_of:%Y-%m-%d} on {now:%Y-%m-%d}: {days}")
        return changed

    def _extract(self, name: str, as_of: AsOf, store: ExtractedStore | None) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        with open_business(SecretStr(self._source.url)) as business:
            extract(business, None, self._sql, folder, as_of=as_of, store=store)
        return folder / "interactions.parquet"

    def _index(self) -> Index:
        return Index.model_validate_json((self._folder / "store" / "interactions" / INDEX).read_bytes())

    def _partitions(self) -> dict[str, str]:
        if not (self._folder / "store" / "interactions" / INDEX).exists():
            return {}
        return {day: each.file for day, each in self._index().days.items()}


def _differing_days(one: Path, other: Path) -> set[date]:
    rows = [Counter(map(tuple, map(dict.values, pq.read_table(path).to_pylist()))) for path in (one, other)]
    differing = [*(rows[0] - rows[1]), *(rows[1] - rows[0])]
    return {date.min if row[-1] is None else row[-1].date() for row in differing}
