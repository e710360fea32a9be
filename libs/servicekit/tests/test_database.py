import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, insert, inspect, select

from servicekit.database import UtcDateTime, migrate, open_database
from servicekit.database_urls import parse_database_url

_SCHEMA = "sample"
_metadata = MetaData(schema=_SCHEMA)
_moments = Table("moments", _metadata, Column("id", Integer, primary_key=True), Column("at", UtcDateTime))
_REVISION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade():
    op.create_table(
        "moments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True)),
        schema="sample",
    )
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "100% of the migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text("from servicekit.database import run_alembic_env\n\nrun_alembic_env()\n", "utf-8")
    (folder / "versions" / "0001_first.py").write_text(_REVISION, "utf-8")
    return folder


@pytest.fixture(params=["postgresql", "sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/all.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = open_database(url, _SCHEMA)
    yield opened
    opened.dispose()


def test_replicas_that_start_together_migrate_once(engine: Engine, scripts: Path) -> None:
    with ThreadPoolExecutor(1 if engine.dialect.name == "sqlite" else 4) as pool:
        list(pool.map(lambda _: migrate(engine, _SCHEMA, scripts), range(4)))
    schema = None if engine.dialect.name == "sqlite" else _SCHEMA
    assert set(inspect(engine).get_table_names(schema=schema)) == {"alembic_version", "moments"}


_KILLED = """
import os

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    op.create_table("first", sa.Column("id", sa.Integer, primary_key=True))
    if os.environ.get("DIES"):
        os._exit(9)
    op.create_table("second", sa.Column("id", sa.Integer, primary_key=True))
"""
_MIGRATE = """
import sys
from pathlib import Path

from servicekit.database import migrate, open_database

migrate(open_database(sys.argv[1], "sample"), "sample", Path(sys.argv[2]))
"""


def test_a_process_that_is_killed_in_a_revision_leaves_nothing_of_it_on_sqlite(tmp_path: Path, scripts: Path) -> None:
    url = f"sqlite:///{tmp_path}/all.db"
    opened = open_database(url, _SCHEMA)
    migrate(opened, _SCHEMA, scripts)
    (scripts / "versions" / "0002_second.py").write_text(_KILLED, "utf-8")
    command = [sys.executable, "-c", _MIGRATE, url, str(scripts)]
    killed = subprocess.run(command, check=False, timeout=120, env={**os.environ, "DIES": "1"})
    assert killed.returncode == 9
    assert set(inspect(opened).get_table_names()) == {"alembic_version", "moments"}
    migrate(opened, _SCHEMA, scripts)
    assert set(inspect(opened).get_table_names()) == {"alembic_version", "moments", "first", "second"}
    opened.dispose()


def test_a_moment_comes_back_in_utc_whatever_zone_it_had(engine: Engine, scripts: Path) -> None:
    migrate(engine, _SCHEMA, scripts)
    noon = datetime(2026, 11, 24, 12, 0, tzinfo=timezone(timedelta(hours=8)))
    with engine.begin() as connection:
        connection.execute(insert(_moments).values(at=noon))
        stored = connection.execute(select(_moments.c.at)).scalar_one()
    assert (stored, stored.tzinfo) == (noon, UTC)


def test_each_service_has_a_file_of_its_own_on_sqlite(tmp_path: Path, scripts: Path) -> None:
    opened = open_database(f"sqlite:///{tmp_path}/all.db", _SCHEMA)
    migrate(opened, _SCHEMA, scripts)
    opened.dispose()
    assert (tmp_path / "all.db.sample").exists()
    assert not (tmp_path / "all.db").exists()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_a_url_of_postgresql_needs_no_driver_named(scheme: str) -> None:
    url = parse_database_url(f"{scheme}://me:pw@127.0.0.1:5432/recsys")
    assert (url.get_dialect().driver, url.port) == ("psycopg2", 5432)


@pytest.mark.parametrize(
    "url",
    [
        "recsys.db",
        "postgresql://me:hush@127.0.0.1:5_432/recsys",
        "postgresql://me:hush@127.0.0.1: 5432/recsys",
        "postgresql://me:hush@127.0.0.1:port/recsys",
        "postgresql+psycopg://me:hush@127.0.0.1/recsys",
        "mysql://me:hush@127.0.0.1/recsys",
    ],
)
def test_a_url_that_no_service_can_use_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"can't be read|digits 0 to 9|not taken") as refused:
        parse_database_url(url)
    assert "hush" not in str(refused.value)
