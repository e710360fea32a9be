"""Withdrawn datasets are read from feature-sync's own table."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

import feature_sync
from feature_sync.events.tables import SCHEMA
from feature_sync.withdrawal.table import WithdrawnTable
from monitoring import testing
from pipeline.business.database import DatabaseError
from pipeline.withdrawn import read_withdrawn
from servicekit.database import migrate, open_database


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_withdrawn_datasets_are_read_for_every_origin(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/recsys.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    assert read_withdrawn(SecretStr(url)) == frozenset()
    engine = open_database(url, SCHEMA)
    migrate(engine, SCHEMA, Path(feature_sync.__file__).parent / "migrations")
    table = WithdrawnTable(engine)
    table.withdraw(7, external_id=None, reason=None, at=datetime.now(UTC))
    table.follow_database({7: None, 2**62: "SKU-77"}, at=datetime.now(UTC))
    engine.dispose()
    assert read_withdrawn(SecretStr(url)) == {7, 2**62}


def test_without_a_database_nothing_is_withdrawn() -> None:
    assert read_withdrawn(None) == frozenset()


def test_a_database_that_does_not_answer_stops_the_run() -> None:
    with testing.captured() as reports, pytest.raises(DatabaseError, match="events database"):
        read_withdrawn(SecretStr("postgresql+psycopg2://me:secret@127.0.0.1:1/none"))
    assert reports.point_ids == ["pipeline.database"]
