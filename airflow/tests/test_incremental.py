"""Incremental extraction: what is read again, what is taken from the store, and when a change is seen.

`tests-e2e/unit/test_extraction_nights.py` compares it with full extractions over many nights.
"""

import json
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from business import statements
from contracts.snapshot import read_manifest
from pipeline.business.content import Content
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.cli import main
from pipeline.demo import DemoSize, generate
from pipeline.extract import AsOf, ExtractedStore, extract, open_business, open_event_log
from pipeline.extract.columns import SCHEMAS
from pipeline.extract.conversion import Converter
from pipeline.extract.day_store import INDEX, Index
from pipeline.extract.extract import SETTLES_AFTER
from pipeline.extract.incremental import DayReader, DaySource, spot_checked
from pipeline.settings import Settings
from pipeline.steps import RunInfo, begin_run
from pipeline.steps.data import extract as extract_step
from pipeline.steps.data import features, quality, snapshot_of

NOW = datetime(2026, 3, 20, 3, tzinfo=UTC)
DAY = timedelta(days=1)
SQL = {
    "users.sql": "SELECT 1 AS id",
    "datasets.sql": "SELECT 1 AS id, 'One' AS title",
    "interactions.sql": "SELECT who AS user_id, 1 AS dataset_id, 'view' AS type, paid AS price, done_at AS ts FROM t",
}
Row = tuple[int, float | None, str]


@dataclass
class Shop:
    """An SQLite table of users' views, which is extracted with a store and without one."""

    folder: Path
    counts: dict[str, int] = field(default_factory=dict)

    def run(self, *statements: str) -> None:
        with open_engine(self.url, "X").begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'shop.db'}"

    @property
    def index(self) -> Index:
        return Index.model_validate_json((self.folder / "store" / "interactions" / INDEX).read_bytes())

    def extract(
        self,
        now: datetime,
        *,
        as_of: datetime | None = None,
        code: str = "1",
        is_full: bool = False,
        zone: tzinfo = UTC,
    ) -> list[Row]:
        """Return the rows as of a moment, in their order."""
        store = ExtractedStore(str(self.folder / "store"), now, code, is_full)
        return self._extract(AsOf(as_of or now, now), store, zone)

    def extract_whole(self, now: datetime, *, as_of: datetime | None = None, zone: tzinfo = UTC) -> list[Row]:
        """Return the rows without a store."""
        return self._extract(AsOf(as_of or now, now), None, zone)

    def _extract(self, as_of: AsOf, store: ExtractedStore | None, zone: tzinfo) -> list[Row]:
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        with open_business(SecretStr(self.url)) as business:
            self.counts = extract(business, None, self.folder / "sql", out, zone, as_of=as_of, store=store)
        rows = pq.read_table(out / "interactions.parquet").to_pylist()
        return [(row["user_id"], row["price"], f"{row['ts']:%m-%dT%H}" if row["ts"] else "") for row in rows]

    def files(self) -> dict[str, int]:
        """Return the partitions and when they were written."""
        found = (self.folder / "store" / "interactions").glob("*.parquet")
        return {path.name: path.stat().st_mtime_ns for path in found}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """One view on each day from the first of March to the nineteenth, by the user of the day's number."""
    made = Shop(tmp_path)
    (tmp_path / "sql").mkdir()
    for name, statement in SQL.items():
        (tmp_path / "sql" / name).write_text(statement, encoding="utf-8")
    rows = ", ".join(f"({day}, 1.5, '2026-03-{day:02} 12:00:00')" for day in range(1, 20))
    made.run("CREATE TABLE t (who INTEGER, paid REAL, done_at)", f"INSERT INTO t VALUES {rows}")
    return made


def days(numbers: Sequence[int]) -> set[str]:
    return {f"2026-03-{number:02}" for number in numbers}


def test_days_become_partitions_after_a_week_and_only_newer_ones_are_read(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    first = shop.extract(NOW)
    assert first == shop.extract_whole(NOW)
    assert set(shop.index.days) == days(range(1, 13))
    before = shop.files()
    shop.run("INSERT INTO t VALUES (20, NULL, '2026-03-20 12:00:00'), (0, NULL, '2026-03-14 12:00:00')")
    with caplog.at_level(logging.INFO):
        second = shop.extract(NOW + DAY)
    assert second == shop.extract_whole(NOW + DAY)
    assert len(second) == len(first) + 2
    assert set(shop.index.days) == days(range(1, 14))
    after = shop.files()
    assert {name: after[name] for name in before} == before
    assert "interactions: 9 rows of 8 days read, 12 rows of 12 days from earlier extractions" in caplog.text


def test_days_without_a_run_are_read_when_the_next_one_comes(shop: Shop) -> None:
    shop.extract(NOW)
    shop.run(*(f"INSERT INTO t VALUES (1, NULL, '2026-03-{day} 13:00:00')" for day in range(13, 32)))
    later = NOW + 20 * DAY
    shop.extract(NOW + DAY / 2)
    assert shop.extract(later) == shop.extract_whole(later)


def test_an_old_change_is_seen_within_a_week_and_at_once_in_a_full_extraction(shop: Shop) -> None:
    """A run that is not the week's compares only some days."""
    shop.run(*(f"INSERT INTO t VALUES ({n}, 0, '2026-02-{n:02} 10:00:00')" for n in range(1, 29)))
    base = NOW + 30 * DAY
    shop.extract(base)
    found = [day for day in shop.index.days if day not in spot_checked(sorted(shop.index.days), (base + DAY).date())]
    shop.run(f"UPDATE t SET paid = 7 WHERE done_at LIKE '{found[0]}%'")
    assert shop.extract(base + DAY) != shop.extract_whole(base + DAY)
    assert shop.extract(base + DAY, is_full=True) == shop.extract_whole(base + DAY)
    assert shop.index.compared_at == base + DAY
    shop.run(f"DELETE FROM t WHERE done_at LIKE '{found[0]}%'")
    week = base + 8 * DAY
    assert shop.extract(week) == shop.extract_whole(week)
    assert shop.index.compared_at == week


def test_replaced_data_is_noticed_by_the_next_run(tmp_path: Path, content: Content) -> None:
    """An import after the demonstration: no row of the demonstration stays, although no week has passed."""
    shop = Shop(tmp_path)
    engine = open_engine(shop.url, "X")
    now = datetime(2026, 3, 20, tzinfo=UTC)
    other = generate(DemoSize(100, 50, 1500), seed=8, end=now)

    def extracted(store: ExtractedStore | None) -> bytes:
        with open_business(SecretStr(shop.url)) as business:
            extract(business, None, None, tmp_path, as_of=AsOf(now, now), store=store)
        return (tmp_path / "interactions.parquet").read_bytes()

    replace_content(engine, content)
    extracted(ExtractedStore(str(tmp_path / "store"), now, "1"))
    replace_content(engine, other)
    engine.dispose()
    assert extracted(ExtractedStore(str(tmp_path / "store"), now, "1")) == extracted(None)


@pytest.mark.parametrize("days_before", [0, 3, 12])
def test_a_rebuild_of_an_earlier_day_has_the_rows_of_a_full_extraction_of_that_day(
    shop: Shop, days_before: int
) -> None:
    as_of = NOW - days_before * DAY
    shop.extract(NOW)
    kept = shop.files()
    rebuilt = shop.extract(NOW, as_of=as_of)
    assert rebuilt == shop.extract_whole(NOW, as_of=as_of)
    assert len(rebuilt) == 19 - days_before
    assert shop.files() == kept


def test_rows_without_a_day_are_read_each_time(shop: Shop) -> None:
    """Numbers, impossible dates and NULL are as in a full extraction at once, and come last."""
    shop.extract(NOW)
    shop.run("INSERT INTO t VALUES (91, 1, 1772323200), (92, 1, NULL), (93, 1, '2026-02-30 08:00:00'), (94, 1, 0)")
    rows = shop.extract(NOW)
    assert rows == shop.extract_whole(NOW)
    assert [user for user, *_ in rows[-4:]] == [93, 94, 91, 92]


def test_a_table_without_any_day_is_read_whole_and_says_so(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.extract(NOW)
    assert "interactions_read_whole" not in shop.counts
    shop.run("UPDATE t SET done_at = 1772323200 + who")
    with caplog.at_level(logging.INFO):
        assert shop.extract(NOW) == shop.extract_whole(NOW)
    assert shop.counts["interactions_read_whole"] == 19
    assert caplog.text.count("interactions: the database can't group ts by day") == 1


def test_a_day_with_a_time_that_only_the_database_takes_for_one_is_read_each_time(shop: Shop) -> None:
    shop.run("INSERT INTO t VALUES (91, 1, '2026-03-05 99:00:00')")
    assert shop.extract(NOW) == shop.extract_whole(NOW)
    assert (shop.index.unsettled, set(shop.index.days)) == (["2026-03-05"], days([*range(1, 5), *range(6, 13)]))
    shop.run("UPDATE t SET done_at = '2026-03-05 09:00:00' WHERE who = 91")
    assert shop.extract(NOW) == shop.extract_whole(NOW)
    assert shop.index.unsettled == []


def test_other_sql_another_zone_and_other_code_read_everything_anew(shop: Shop) -> None:
    shop.extract(NOW)
    source = shop.index.source
    statement = SQL["interactions.sql"].replace("paid AS price", "paid * 2 AS price")
    (shop.folder / "sql" / "interactions.sql").write_text(statement, encoding="utf-8")
    rows = shop.extract(NOW)
    assert rows == shop.extract_whole(NOW)
    assert {price for _, price, _ in rows} == {3.0}
    assert shop.index.source != source
    zone = ZoneInfo("Asia/Shanghai")
    assert shop.extract(NOW, zone=zone) == shop.extract_whole(NOW, zone=zone)
    shop.extract(NOW)
    before = shop.files()
    shop.extract(NOW, code="2")
    after = shop.files()
    assert after.keys() == before.keys()
    assert all(after[name] > before[name] for name in before)


def test_a_missing_or_damaged_partition_is_read_again(shop: Shop) -> None:
    shop.extract(NOW)
    store = shop.folder / "store" / "interactions"
    (store / shop.index.days["2026-03-04"].file).unlink()
    (store / "2026-03-04-0123456789abcdef.parquet").write_bytes(b"of a killed extraction")
    assert shop.extract(NOW) == shop.extract_whole(NOW)
    assert len(shop.files()) == 12
    (store / shop.index.days["2026-03-04"].file).write_bytes(b"damaged")
    for stored in (11, 12):
        assert shop.extract(NOW) == shop.extract_whole(NOW)
        assert len(shop.index.days) == stored
    (store / INDEX).write_bytes(b"{")
    assert shop.extract(NOW) == shop.extract_whole(NOW)


def test_two_runs_at_once_share_the_store(shop: Shop) -> None:
    with closing(sqlite3.connect(shop.folder / "shop.db")) as connection:
        # So that a table can be changed while it is read.
        connection.execute("PRAGMA journal_mode=WAL")
    shop.extract(NOW)
    store = ExtractedStore(str(shop.folder / "store"), NOW, "1", is_full=False)
    with open_business(SecretStr(shop.url)) as business:
        statement = statements(shop.folder / "sql", {name: schema.names for name, schema in SCHEMAS.items()})
        source = DaySource("interactions", business, statement["interactions"], UTC, "ts", SETTLES_AFTER)
        first = DayReader(source, Converter(), store).read()
        slow = [next(first)]
        shop.run("UPDATE t SET paid = 2.5 WHERE who = 7")
        shop.extract(NOW, is_full=True)
        slow += first
    read = {row["user_id"]: row["price"] for rows in slow for row in rows.to_pylist()}
    assert read == dict.fromkeys(range(1, 20), 1.5)
    assert shop.extract(NOW) == shop.extract_whole(NOW)


@pytest.mark.parametrize("column", ["TEXT", "BIGINT"])
def test_times_that_are_texts_or_numbers_are_all_read_each_time(
    postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, column: str
) -> None:
    engine = open_engine(postgres_url, "X")
    values = "('2026-03-01T08:00:00+08:00'), ('2026-02-01')" if column == "TEXT" else "(1772323200), (1769904000)"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE t (done_at {column})"))
        connection.execute(text(f"INSERT INTO t VALUES {values}"))
    engine.dispose()
    for name, statement in SQL.items():
        changed = statement.replace("who AS", "7 AS").replace("paid AS", "NULL AS")
        (tmp_path / name).write_text(changed, encoding="utf-8")
    with open_business(SecretStr(postgres_url)) as business, caplog.at_level(logging.INFO):
        store = ExtractedStore(str(tmp_path / "store"), NOW, "1")
        counts = extract(business, None, tmp_path, tmp_path, as_of=AsOf(NOW, NOW), store=store)
    assert counts["interactions"] == counts["interactions_read_whole"] == 2
    assert [row["ts"].day for row in pq.read_table(tmp_path / "interactions.parquet").to_pylist()] == [1, 1]
    assert caplog.text.count("the database can't group ts by day; all rows are read each time") == 1
    assert not (tmp_path / "store").exists()


@dataclass
class Log:
    """An event log, whose rows are inserted with the moment at which they are received."""

    url: str
    folder: Path
    rows: int = 0
    # Whether the last extraction has the rows of one without a store.
    equal: bool = False

    @property
    def _table(self) -> str:
        return "behavior_events" if self.url.startswith("sqlite") else "events.behavior_events"

    def run(self, statement: str, **values: object) -> None:
        with open_engine(self.url + (".events" if self.url.startswith("sqlite") else ""), "X").begin() as connection:
            connection.execute(text(statement.format(table=self._table)), values)

    def receive(self, at: datetime, user: int = 1) -> None:
        self.rows += 1
        shown = f"{at:%Y-%m-%d %H:%M:%S.%f}" + ("" if self.url.startswith("sqlite") else "+00")
        self.run("INSERT INTO {table} VALUES (:id, 'view', :user, 1, :at, :at)", id=self.rows, user=user, at=shown)

    def extract(self, now: datetime) -> int:
        """Return the number of events, after comparing the file with that of an extraction without the store."""
        incremental = self._extract(now, ExtractedStore(str(self.folder / "store"), now, "1"))
        counts = json.loads((self.folder / "counts").read_text())
        self.equal = incremental == self._extract(now, None)
        events: int = counts["events"]
        return events

    def _extract(self, now: datetime, store: ExtractedStore | None) -> bytes:
        events = open_event_log(SecretStr(self.url))
        assert events is not None
        with open_business(SecretStr(self.url)) as business, events:
            counts = extract(business, events, None, self.folder, as_of=AsOf(now, now), store=store)
        if store is not None:
            (self.folder / "counts").write_text(json.dumps(counts))
        return (self.folder / "interactions.parquet").read_bytes()

    def partitions(self) -> dict[str, int]:
        found = (self.folder / "store" / "events").glob("*.parquet")
        return {path.name[:10]: path.stat().st_mtime_ns for path in found}


@pytest.fixture
def log(business_url: str, tmp_path: Path) -> Log:
    """An event log beside canonical tables without rows; five days have three events each."""
    engine = open_engine(business_url, "X")
    replace_content(engine, generate(DemoSize(100, 50, 1000), seed=1, end=NOW - 60 * DAY))
    engine.dispose()
    made = Log(business_url, tmp_path)
    if not business_url.startswith("sqlite"):
        made.run("CREATE SCHEMA events")
    time = "TEXT" if business_url.startswith("sqlite") else "timestamptz"
    made.run(
        "CREATE TABLE {table} (event_id TEXT, type TEXT, user_id BIGINT, dataset_id BIGINT, "
        f"ts {time}, received_at {time})"
    )
    for day in range(1, 6):
        for hour in (1, 2, 3):
            made.receive(NOW - day * DAY + hour * timedelta(hours=1), user=day)
    return made


def test_events_are_appended_by_the_day_of_their_receipt_and_their_partitions_are_not_rewritten(log: Log) -> None:
    assert log.extract(NOW) == 15
    assert log.equal
    before = log.partitions()
    assert set(before) == days(range(15, 20))
    # It was received before the run, and committed after it.
    log.receive(NOW - timedelta(minutes=30))
    log.receive(NOW + timedelta(hours=5))
    assert log.extract(NOW + DAY) == 17
    assert log.equal
    after = log.partitions()
    assert set(after) == days(range(15, 21))
    assert {day: after[day] for day in before} == before


def test_events_of_a_deleted_user_are_gone_within_a_week(log: Log) -> None:
    log.extract(NOW)
    log.run("DELETE FROM {table} WHERE user_id = 3")
    log.extract(NOW + 7 * DAY)
    assert log.equal


def test_events_of_a_forgotten_user_are_gone_with_the_next_run(log: Log) -> None:
    schema = "" if log.url.startswith("sqlite") else "events."
    log.run(f"CREATE TABLE {schema}forgotten_users (number BIGINT)")
    for day in range(6, 41):
        log.receive(NOW - day * DAY, user=day)
    log.extract(NOW)
    stored = log.partitions()
    compared = spot_checked(sorted(stored), (NOW + DAY).date())
    user, other = [day for day in range(6, 41) if f"{NOW - day * DAY:%Y-%m-%d}" not in compared][:2]
    log.run(f"DELETE FROM {{table}} WHERE user_id = {user}")
    log.run(f"INSERT INTO {schema}forgotten_users VALUES (1)")
    log.extract(NOW + DAY)
    assert log.equal
    assert set(log.partitions()) == set(stored) - {f"{NOW - user * DAY:%Y-%m-%d}"}
    # Without a further mark, only some days are compared.
    log.receive(NOW - other * DAY)
    log.extract(NOW + DAY)
    assert not log.equal


@pytest.mark.parametrize("business_url", ["sqlite"], indirect=True)
def test_the_snapshot_says_until_when_it_has_the_events(log: Log, tmp_path: Path) -> None:
    settings = Settings(
        business_database_url=log.url, database_url=log.url, artifact_url=str(tmp_path / "artifacts"), redis_url=None
    )
    engine = open_engine(log.url, "X")
    replace_content(engine, generate(DemoSize(datasets=300, users=200, interactions=12_000), seed=7, end=NOW))
    engine.dispose()
    for name, database in (("with", log.url), ("without", None)):
        run = begin_run(settings, RunInfo(run_id=name, as_of=NOW, started_at=NOW))
        known = settings.model_copy(update={"database_url": None if database is None else SecretStr(database)})
        for step in (extract_step, quality, features):
            step(known, run)
        found = read_manifest(Path(snapshot_of(run))).events_until
        assert found == (NOW - timedelta(hours=1) if database else None)


@pytest.mark.parametrize("place", ["/interactions/2026-02-", "/interactions/.index.json."])
def test_a_killed_extraction_leaves_a_store_that_the_next_one_can_use(
    tmp_path: Path, content: Content, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    url = f"sqlite:///{tmp_path / 'business.db'}"
    engine = open_engine(url, "X")
    replace_content(engine, content)
    engine.dispose()
    own = {"BUSINESS_DATABASE_URL": url, "ARTIFACT_URL": str(tmp_path / "artifacts"), "DATABASE_URL": ""}
    arguments = ["run", "--no-publish", "--run-id", "night"]
    killed = subprocess.run(
        [sys.executable, "-m", "testkit.killed_at_path", place, "pipeline", *arguments],
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    store = tmp_path / "artifacts" / "extracted" / "interactions"
    assert not (store / INDEX).exists()
    assert any(store.glob("*.parquet"))
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    assert main(["step", "extract", "--run-id", "night"]) == 0
    made = (tmp_path / "artifacts" / "runs" / "night" / "extract" / "interactions.parquet").read_bytes()
    info = json.loads((tmp_path / "artifacts" / "runs" / "night" / "run.json").read_bytes())
    as_of = datetime.fromisoformat(info["as_of"])
    with open_business(SecretStr(url)) as business:
        extract(business, None, None, tmp_path, as_of=AsOf(as_of, as_of))
    assert made == (tmp_path / "interactions.parquet").read_bytes()
    assert (store / INDEX).exists()
