"""Extraction: the canonical tables, the user's own SQL, and the behaviour events on top."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from monitoring import testing
from pipeline.business.content import Content
from pipeline.business.database import DatabaseError, open_engine
from pipeline.business.load import replace_content
from pipeline.errors import InputError
from pipeline.extract import extract, open_business, open_event_log
from pipeline.quality import clean
from pipeline.settings import Settings
from pipeline.steps import RunInfo, write_run_info
from pipeline.steps.data import extract as extract_step

SHOP = """
CREATE TABLE goods (code INTEGER, label TEXT, euro TEXT, listed TEXT);
INSERT INTO goods VALUES (1, 'Bus traces', '9.50', '2026-01-01 08:00:00'), (2, 'Rain', NULL, '2026-01-02');
CREATE TABLE orders (who INTEGER, what INTEGER, at INTEGER);
INSERT INTO orders VALUES (7, 1, 1767323045);
CREATE TABLE people (n INTEGER);
INSERT INTO people VALUES (7);
"""
OWN_SQL = {
    "users.sql": "SELECT n AS id FROM people;",
    "datasets.sql": "SELECT code AS id, label AS title, euro AS price, listed AS created_at FROM goods",
    "interactions.sql": "SELECT who AS user_id, what AS dataset_id, 'purchase' AS type, at AS ts FROM orders -- 12:30",
}
EVENTS = (
    (
        "CREATE TABLE {table} (event_id TEXT PRIMARY KEY, type TEXT, user_id BIGINT, dataset_id BIGINT, ts {time}, "
        "received_at {time})"
    ),
    (
        "INSERT INTO {table} VALUES ('e-1', 'purchase', 900000001, 5, '2026-02-03 04:05:06', '2026-02-03'), "
        "('e-2', 'exposure', 900000001, 6, '2026-02-03 04:05:06', '2026-02-03')"
    ),
)


# The end of the shared content.
END = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shop(folder: Path, changes: dict[str, str] | None = None) -> tuple[str, Path]:
    """Make a database of another schema, and SQL that maps it."""
    url = f"sqlite:///{folder / 'shop.db'}"
    engine = open_engine(url, "X")
    with engine.begin() as connection:
        for statement in filter(str.strip, SHOP.split(";")):
            connection.execute(text(statement))
    engine.dispose()
    sql = folder / "sql"
    sql.mkdir()
    for name, statement in (OWN_SQL | (changes or {})).items():
        (sql / name).write_text(statement, encoding="utf-8")
    return url, sql


def extracted(url: str, sql: Path | None, folder: Path) -> dict[str, list[dict[str, object]]]:
    with open_business(SecretStr(url)) as business:
        extract(business, None, sql, folder)
    return {name: pq.read_table(folder / f"{name}.parquet").to_pylist() for name in ("datasets", "interactions")}


def test_the_users_own_sql_maps_another_schema(tmp_path: Path) -> None:
    found = extracted(*shop(tmp_path), tmp_path)
    first, second = found["datasets"]
    assert (first["id"], first["title"], first["price"]) == (1, "Bus traces", 9.5)
    assert first["created_at"] == datetime(2026, 1, 1, 8, tzinfo=UTC)
    assert (second["price"], second["created_at"]) == (None, datetime(2026, 1, 2, tzinfo=UTC))
    assert first["is_deleted"] is False
    (row,) = found["interactions"]
    assert (row["user_id"], row["dataset_id"], row["type"]) == (7, 1, "purchase")
    assert row["ts"] == datetime.fromtimestamp(1767323045, UTC)


@pytest.mark.parametrize(
    ("name", "sql", "message"),
    [
        ("datasets.sql", "SELECT code AS id FROM goods", "datasets.sql: the result lacks title; it has id"),
        (
            "interactions.sql",
            "SELECT who AS user_id, what AS dataset_id, 'view' AS type, 'soon' AS ts FROM orders",
            "interactions.sql: column ts: 'soon': is neither ISO 8601",
        ),
        (
            "datasets.sql",
            "SELECT code AS id, label AS title, code + 1 AS id FROM goods",
            "datasets.sql: the result has id more than once; keep one",
        ),
        ("users.sql", "SELECT id\nFROM nowhere", "users.sql:2: no such table: nowhere"),
        ("users.sql", "", "users.sql:1: holds no statement"),
        ("users.sql", "\n\nDELETE FROM people", "users.sql:3: begins with DELETE"),
    ],
)
def test_sql_that_does_not_fit_is_rejected_with_file_and_column(
    tmp_path: Path, name: str, sql: str, message: str
) -> None:
    with testing.captured() as reports, pytest.raises(InputError) as refused:
        extracted(*shop(tmp_path, {name: sql}), tmp_path)
    assert str(refused.value).startswith(message)
    assert reports == []


def test_only_faults_of_the_database_itself_are_reported(tmp_path: Path) -> None:
    url, sql = shop(tmp_path, {"users.sql": "SELECT id FROM nowhere"})
    known = {"artifact_url": str(tmp_path / "artifacts"), "database_url": None}
    for name in ("one", "two"):
        write_run_info(str(tmp_path / "runs" / name), RunInfo(run_id=name, as_of=END, started_at=END))
    with testing.captured() as reports, pytest.raises(InputError, match=r"^users\.sql:1: no such table"):
        extract_step(Settings(business_database_url=url, extraction_sql=sql, **known), str(tmp_path / "runs" / "one"))
    assert reports == []
    away = "postgresql+psycopg2://me:topsecret@127.0.0.1:1/none"
    with testing.captured() as reports, pytest.raises(DatabaseError, match="business database: extract"):
        extract_step(Settings(business_database_url=away, **known), str(tmp_path / "runs" / "two"))
    assert reports.point_ids == ["pipeline.database", "pipeline.critical_step_failed"]
    assert not any("topsecret" in str(report) for report in reports)


def test_a_folder_without_sql_is_rejected(tmp_path: Path) -> None:
    url, _ = shop(tmp_path)
    with pytest.raises(InputError, match=r"EXTRACTION_SQL: .* holds none of users\.sql, datasets\.sql"):
        extracted(url, tmp_path, tmp_path)


def test_behaviour_events_join_the_interactions_and_exposures_do_not(
    business_url: str, content: Content, tmp_path: Path
) -> None:
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    replace_content(engine, content)
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        purchase = "SELECT user_id, dataset_id, ts FROM interactions WHERE type = 'purchase' LIMIT 1"
        bought = connection.execute(text(purchase)).mappings().one()
    # As the services store it: in a schema of its own, or in a file of its own.
    log_url = business_url + ".events" if sqlite else business_url
    log = open_engine(log_url, "DATABASE_URL")
    with log.begin() as connection:
        if not sqlite:
            connection.execute(text("CREATE SCHEMA events"))
        for statement in EVENTS:
            table = "behavior_events" if sqlite else "events.behavior_events"
            connection.execute(text(statement.format(table=table, time="TEXT" if sqlite else "timestamptz")))
        repeated = f"INSERT INTO {table} VALUES ('e-3', 'purchase', :user_id, :dataset_id, :ts, :ts)"
        connection.execute(text(repeated), dict(bought))
    log.dispose()
    engine.dispose()
    events = open_event_log(SecretStr(business_url))
    assert events is not None
    with open_business(SecretStr(business_url)) as business, events:
        counts = extract(business, events, None, tmp_path)
    rows = pq.read_table(tmp_path / "interactions.parquet").to_pylist()
    assert (counts["interactions"], counts["events"], len(rows)) == (12_000, 1, 12_001)
    assert counts["repeated_purchases"] == 1
    (mine,) = (row for row in rows if row["user_id"] == 900_000_001)
    assert (mine["dataset_id"], mine["type"]) == (5, "purchase")


def test_events_with_impossible_times_are_findings_and_do_not_stop_the_run(
    business_url: str, content: Content, tmp_path: Path
) -> None:
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    replace_content(engine, content)
    sqlite = engine.dialect.name == "sqlite"
    table = "behavior_events" if sqlite else "events.behavior_events"
    log = open_engine(business_url + ".events" if sqlite else business_url, "DATABASE_URL")
    ahead = (END + timedelta(hours=2)).isoformat()
    with log.begin() as connection:
        if not sqlite:
            connection.execute(text("CREATE SCHEMA events"))
        connection.execute(text(EVENTS[0].format(table=table, time="TEXT" if sqlite else "timestamptz")))
        times = ["0001-01-01 00:00:00+00", "infinity", *[ahead] * 1000]
        for number, ts in enumerate(times):
            row = {"id": f"e-{number}", "dataset": number % 300 + 1, "ts": ts}
            statement = f"INSERT INTO {table} VALUES (:id, 'click', 7, :dataset, :ts, '2026-02-03')"
            connection.execute(text(statement), row)
    log.dispose()
    engine.dispose()
    events = open_event_log(SecretStr(business_url))
    assert events is not None
    cleaned = tmp_path / "clean"
    cleaned.mkdir()
    with open_business(SecretStr(business_url)) as business, events:
        extract(business, events, None, tmp_path)
    findings = {finding.check: finding for finding in clean(tmp_path, cleaned, END)}
    assert findings["interactions.early_ts"].details.startswith("1 of 13,002 interactions lie before 1970-01-02")
    assert findings["interactions.future_ts"].severity == "warning"
    assert "1,001 of 13,001 interactions lie in the future" in findings["interactions.future_ts"].details
    assert "up to 2.0 h ahead: is `ts` a local time?" in findings["interactions.future_ts"].details
    assert pq.read_table(cleaned / "interactions.parquet").num_rows == 12_000


def test_without_an_event_log_there_are_no_events(business_url: str, content: Content, tmp_path: Path) -> None:
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    replace_content(engine, content)
    engine.dispose()
    assert open_event_log(None) is None
    events = open_event_log(SecretStr(business_url))
    with open_business(SecretStr(business_url)) as business, events or nullcontext():
        counts = extract(business, events, None, tmp_path)
    assert counts["interactions"] == 12_000
    assert counts.get("events", 0) == 0
