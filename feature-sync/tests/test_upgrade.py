"""After an upgrade the data of an earlier release is kept, and its unfinished entries are processed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Engine, inspect, text
from sqlalchemy.schema import CreateSchema

import feature_sync
from contracts import redis_keys
from contracts.user_blob import LiveHistory
from feature_sync.app import create_app
from feature_sync.events.tables import SCHEMA
from feature_sync.settings import Settings
from feature_sync.withdrawal.table import withdrawn_datasets
from localservers.waiting import wait_until
from servicekit.database import open_database
from testkit.serving import Served

NOW = datetime.now(UTC).replace(microsecond=0)
# In the format of the release before withdrawals.
STREAM_ENTRY = (
    f'{{"event_id":"waiting-1","type":"purchase","user_id":7,"dataset_id":12,"ts":"{NOW:%Y-%m-%dT%H:%M:%S}Z"}}'
)


def migrate_to(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        if connection.dialect.name != "sqlite":
            connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
        config = Config()
        config.set_main_option("script_location", str(Path(feature_sync.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        config.attributes["schema"] = SCHEMA
        command.upgrade(config, revision)


def _groups(plain: Redis) -> set[str]:
    found: Any = plain.xinfo_groups(redis_keys.EVENT_STREAM)
    return {group["name"].decode() for group in found}


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_an_upgrade_keeps_the_event_log_and_processes_waiting_entries(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, plain: Redis
) -> None:
    url = f"sqlite:///{tmp_path}/recsys.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    engine = open_database(url, SCHEMA)
    migrate_to(engine, "0002")
    table = "behavior_events" if kind == "sqlite" else f"{SCHEMA}.behavior_events"
    with engine.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO {table} (event_id, type, user_id, dataset_id, ts, received_at) "
                "VALUES ('logged-1', 'view', 7, 11, :at, :at)"
            ),
            {"at": NOW},
        )
    # The release before had one group. It has taken the first entry, and applied it, and the second one waits.
    plain.xgroup_create(redis_keys.EVENT_STREAM, redis_keys.LEGACY_GROUP, "0", mkstream=True)
    plain.xadd(redis_keys.EVENT_STREAM, {"event": STREAM_ENTRY})
    plain.xreadgroup(redis_keys.LEGACY_GROUP, "old", {redis_keys.EVENT_STREAM: ">"})
    plain.set("applied:{hot:24h}:waiting-1", "")
    plain.zadd(f"{{hot:24h}}:{int(NOW.timestamp()) // 900}", {"12": 3.0})
    plain.xadd(redis_keys.EVENT_STREAM, {"event": STREAM_ENTRY.replace("waiting-1", "waiting-2")})
    settings = Settings(
        redis_url=SecretStr(redis_url),
        database_url=SecretStr(url),
        admin_token=SecretStr("the-token"),
        takeover_seconds=1,
    )
    with Served(create_app(settings)) as served, httpx.Client(base_url=served.url) as client:
        wait_until(lambda: not plain.xlen(redis_keys.EVENT_STREAM), within=30, what="the stream is read")
        assert client.get("/health").json()["status"] == "healthy"
        wait_until(lambda: plain.zscore("hot:24h", "12") == 6.0, within=30, what="each event counts once")
        wait_until(lambda: _groups(plain) == {"live", "log"}, within=30, what="the old group is gone")
    with engine.connect() as connection:
        assert set(connection.execute(text(f"SELECT event_id FROM {table}")).scalars()) == {
            *("logged-1", "waiting-1", "waiting-2")
        }
        columns = inspect(connection).get_columns("withdrawn_datasets", schema=None if kind == "sqlite" else SCHEMA)
    assert {column["name"] for column in columns} == {column.name for column in withdrawn_datasets.columns}
    engine.dispose()
    blob = plain.get(redis_keys.live_history(7))
    assert isinstance(blob, bytes)
    assert LiveHistory.unpack(blob).history.ids.tolist() == [12]
