"""After an upgrade the data of an earlier release is kept, and its unfinished entries are processed."""

import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Engine, inspect, text
from sqlalchemy.schema import CreateSchema

import feature_sync
from contracts import redis_keys
from contracts.features import FEATURE_SCHEMA
from contracts.snapshot import write_snapshot
from contracts.user_blob import History, LiveHistory, UserBlob
from feature_sync.app import create_app
from feature_sync.events.live import LIVE_SECONDS
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
        wait_until(lambda: not plain.xlen(redis_keys.EVENT_STREAM), within=60, what="the stream is read")
        assert client.get("/health").json()["status"] == "healthy"
        wait_until(lambda: plain.zscore("hot:24h", "12") == 6.0, within=60, what="each event counts once")
        wait_until(lambda: _groups(plain) == {"live", "log"}, within=60, what="the old group is gone")
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


def _waiting(name: str, user: int, dataset: int, **fields: object) -> dict[Any, Any]:
    body = {"event_id": name, "type": "view", "user_id": user, "dataset_id": dataset, "ts": NOW.isoformat(), **fields}
    return {"event": json.dumps(body)}


def _history(plain: Redis, user: int) -> LiveHistory:
    blob = plain.get(redis_keys.live_history(user))
    assert isinstance(blob, bytes)
    return LiveHistory.unpack(blob)


def test_an_upgrade_loses_nothing_of_redis_and_of_the_table(
    postgres_url: str, redis_url: str, plain: Redis, tmp_path: Path
) -> None:
    """The release before has two groups, each with entries that it has taken and with waiting ones."""
    engine = open_database(postgres_url, SCHEMA)
    migrate_to(engine, "0003")
    logged = {f"logged-{number}" for number in range(500)}
    with engine.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO {SCHEMA}.behavior_events (event_id, type, user_id, dataset_id, ts, received_at) "
                "SELECT 'logged-' || number, 'view', number % 50 + 1, number, :at, :at "
                "FROM generate_series(0, 499) AS number"
            ),
            {"at": NOW},
        )
    # Users 1 to 3 have histories; that of user 3 is not touched by any waiting event.
    for user in (1, 2, 3):
        live = LiveHistory(40 + user).append(np.array([user, 90]), np.full(2, NOW.timestamp()), np.full(2, 2, np.uint8))
        plain.set(redis_keys.live_history(user), live.pack(), ex=LIVE_SECONDS)
    untouched = plain.get(redis_keys.live_history(3))
    plain.mset({redis_keys.SNAPSHOT_POINTER: "v1.0.a", "fs:v1.0.a:u:1": b"state", "fs:v1.0.a:schema": FEATURE_SCHEMA})
    plain.zadd(redis_keys.SNAPSHOT_VERSIONS, {"v1.0.a": float("inf")})
    plain.rpush(redis_keys.snapshot_users("v1.0.a"), struct.pack("<q", 1))
    plain.xadd(redis_keys.DEAD_LETTERS, {"event": b"no JSON", "entry": b"1-0", "reason": b"unreadable"})
    for stream, groups in ((redis_keys.EVENT_STREAM, ("live", "log")), (redis_keys.REPEATED_EVENTS, ("log",))):
        for group in groups:
            plain.xgroup_create(stream, group, "0", mkstream=True)
    entries = [_waiting(f"waiting-{number}", number % 2 + 1, 100 + number) for number in range(20)]
    for place, entry in enumerate([*entries, _waiting("shown-1", 1, 300, type="exposure", request_id="r", position=0)]):
        plain.xadd(redis_keys.EVENT_STREAM, entry)
        # Both groups have taken some, and only one of them others.
        if place == 9:
            plain.xreadgroup("live", "old", {redis_keys.EVENT_STREAM: ">"})
        if place == 4:
            plain.xreadgroup("log", "old", {redis_keys.EVENT_STREAM: ">"})
    plain.xadd(redis_keys.REPEATED_EVENTS, _waiting("waiting-3", 2, 103))
    plain.xadd(redis_keys.REPEATED_EVENTS, _waiting("repeated-1", 2, 104))
    settings = Settings(
        redis_url=SecretStr(redis_url),
        database_url=SecretStr(postgres_url),
        admin_token=SecretStr("the-token"),
        takeover_seconds=1,
    )
    with Served(create_app(settings)) as served, httpx.Client(base_url=served.url) as client:
        for stream in (redis_keys.EVENT_STREAM, redis_keys.REPEATED_EVENTS):
            wait_until(lambda stream=stream: not plain.xlen(stream), within=60, what=f"{stream} is read")
        headers = {"Authorization": "Bearer the-token"}
        state = client.get("/users/1/features", headers=headers).json()
        assert client.get("/health").json()["checks"]["redis"]["status"] == "healthy"
        # The first sync of this release goes on top of the version of the release before.
        write_snapshot(tmp_path / "v2", "v2", NOW, [(1, UserBlob(np.zeros(8, np.float32), History()).pack())])
        job = client.post("/sync", json={"snapshot": str(tmp_path / "v2")}, headers=headers).json()["job"]
        wait_until(
            lambda: client.get(f"/sync/{job}", headers=headers).json()["state"] == "done",
            within=60,
            what="it is synced",
        )
    with engine.connect() as connection:
        stored = list(connection.execute(text(f"SELECT event_id FROM {SCHEMA}.behavior_events")).scalars())
    engine.dispose()
    waiting = {f"waiting-{number}" for number in range(20)}
    assert sorted(stored) == sorted(logged | waiting | {"shown-1", "repeated-1"})
    for user in (1, 2):
        history = _history(plain, user)
        new = {100 + number for number in range(20) if number % 2 + 1 == user}
        assert set(history.history.ids.tolist()) == {user, 90} | new
        assert history.sequence > 41 + user
    assert plain.get(redis_keys.live_history(3)) == untouched
    assert plain.xlen(redis_keys.DEAD_LETTERS) == 1
    assert state["live"]["sequence"] > 42
    assert state["malformed_keys"] == ["fs:v1.0.a:u:1"], "the version of the release before is found"
    assert plain.get("fs:v1.0.a:u:1") == b"state", "within the grace"
    assert _groups(plain) == {"live", "log"}
