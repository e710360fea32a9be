"""The event log is read as feature-sync's migrations make it."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import insert

import feature_sync
from contracts.events import BehaviorEvent, Exposure
from feature_sync.events.log import EventLog
from feature_sync.events.tables import SCHEMA
from feature_sync.served_features.tables import served_features
from pipeline.extract.events import events_source, open_event_log
from pipeline.skew.served import ServedLog
from servicekit.database import migrate, open_database

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_events_of_all_partitions_are_read_and_exposures_are_not(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/recsys.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    engine = open_database(url, SCHEMA)
    migrate(engine, SCHEMA, Path(feature_sync.__file__).parent / "migrations")
    events = [
        BehaviorEvent(event_id=f"e-{days}", type=type_, user_id=7, dataset_id=11, ts=NOW - timedelta(days=days))
        for days, type_ in ((0, "view"), (40, "purchase"), (400, "click"), (1, "exposure"))
    ]
    shown = Exposure(exposure_id="exp-1", user_id=7, dataset_ids=[11], request_id="r", ts=NOW)
    EventLog(engine).add(events, exposures=[shown])
    engine.dispose()
    log = open_event_log(SecretStr(url))
    assert log is not None
    with log:
        source = events_source(log)
        assert source is not None
        rows = [row for batch in log.rows(source.statement) for row in batch]
    assert sorted((row[0], row[2]) for row in rows) == [(7, "click"), (7, "purchase"), (7, "view")]


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_a_period_in_another_zone_selects_the_same_answers(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/recsys.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    engine = open_database(url, SCHEMA)
    migrate(engine, SCHEMA, Path(feature_sync.__file__).parent / "migrations")
    given = {"request_id": "r", "endpoint": "/", "max_items": 10, "model_version": "1", "bundle_sha256": "s"}
    rows = [
        {"served_id": str(hours), "ts": NOW - timedelta(hours=hours), "received_at": NOW, "user_id": 1, "vectors": b""}
        for hours in (1, 3, 5)
    ]
    with engine.begin() as connection:
        connection.execute(insert(served_features), [row | given for row in rows])
    engine.dispose()
    log = open_event_log(SecretStr(url))
    assert log is not None
    with log:
        for zone in (UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=8))):
            since, until = ((NOW - timedelta(hours=hours)).astimezone(zone) for hours in (4, 2))
            assert [answer.served_id for answer in ServedLog(log).answers(since, until)] == ["3"]
