import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from s3fs import S3FileSystem

import monitoring.testing
from contracts import redis_keys
from contracts.checksums import sha256_of
from contracts.features import FEATURE_SCHEMA
from contracts.snapshot import write_snapshot
from contracts.user_blob import History, UserBlob
from feature_sync.connections import RedisFaults
from feature_sync.metrics import Metrics
from feature_sync.snapshots.jobs import SyncJob, SyncJobs
from feature_sync.snapshots.switch import GRACE_SECONDS, SnapshotSwitch
from servicekit.background import SupervisedLoop, cancel_all
from testkit.s3_server import S3Server

pytestmark = pytest.mark.anyio


def _blob(mark: int) -> bytes:
    return UserBlob(np.full(3, mark, np.float32), History()).pack()


def _snapshot(folder: Path, version: str, *, users: int = 2500, mark: int = 1) -> Path:
    now = datetime.now(UTC)
    blobs = ((user, _blob(mark)) for user in range(1, users + 1))
    write_snapshot(folder / version, version, now, blobs, events_until=now - timedelta(hours=1))
    return folder / version


async def _run(redis: AsyncRedis, snapshot: Path | str, redis_url: str) -> SyncJob:
    jobs = SyncJobs(SnapshotSwitch(redis), RedisFaults(redis_url), Metrics())
    job = jobs.submit(str(snapshot))
    await jobs.step()
    return job


async def test_a_snapshot_is_written_completely_and_then_activated(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    job = await _run(redis, _snapshot(tmp_path, "v1"), redis_url)
    assert (job.state, job.users, job.total, job.version) == ("done", 2500, 2500, "v1")
    assert plain.get(redis_keys.SNAPSHOT_POINTER) == b"v1"
    assert plain.get(redis_keys.snapshot_schema("v1")) == FEATURE_SCHEMA.encode()
    assert plain.mget(redis_keys.user_features("v1", user) for user in (1, 1000, 1001, 2500)) == [_blob(1)] * 4


async def test_the_previous_version_expires_after_a_grace_and_nothing_else_does(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    plain.set("somebody:else", "kept")
    await _run(redis, _snapshot(tmp_path, "v1"), redis_url)
    await _run(redis, _snapshot(tmp_path, "v2"), redis_url)
    assert 0 < plain.ttl(redis_keys.user_features("v1", 7)) <= GRACE_SECONDS
    assert plain.ttl(redis_keys.user_features("v2", 7)) == -1
    assert plain.ttl(redis_keys.SNAPSHOT_POINTER) == -1
    assert plain.ttl("somebody:else") == -1


async def test_keys_and_a_pointer_that_are_not_text_do_not_stop_a_sync(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    plain.set(b"fs:\xff:u:{7}", "foreign")
    plain.set(redis_keys.SNAPSHOT_POINTER, b"\xff")
    assert await SnapshotSwitch(redis).active() == "\ufffd"
    assert (await _run(redis, _snapshot(tmp_path, "v1"), redis_url)).state == "done"
    assert plain.ttl(b"fs:\xff:u:{7}") > 0


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"user_id": ["7"], "blob": [_blob(1)]}),
        pa.table({"user_id": [7], "blob": pa.array([None], pa.binary())}),
        pa.table({"user_id": pa.array([None], pa.int64()), "blob": [_blob(1)]}),
        pa.table({"user": [7]}),
        None,
    ],
    ids=["ids are texts", "a blob is missing", "an id is missing", "other columns", "no Parquet"],
)
async def test_a_file_without_users_fails_the_job_and_is_not_a_fault_of_the_service(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path, table: pa.Table | None
) -> None:
    folder = _snapshot(tmp_path, "v1", users=1)
    file = folder / "users-00000.parquet"
    if table is None:
        file.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    else:
        pq.write_table(table, file)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"] = {file.name: sha256_of(file)}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    job = await _run(redis, folder, redis_url)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.startswith("users-00000.parquet: ")
    assert plain.get(redis_keys.SNAPSHOT_POINTER) is None


async def test_a_job_shows_no_password_of_its_address(redis: AsyncRedis, redis_url: str) -> None:
    job = await _run(redis, "ftp://somebody:hunter2pw@127.0.0.1:1/snapshot", redis_url)
    assert job.state == "failed"
    assert "hunter2pw" not in job.model_dump_json()
    assert "127.0.0.1:1/snapshot" in job.snapshot


async def test_a_folder_that_is_not_a_snapshot_is_not_copied(
    redis: AsyncRedis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.get", None)
    job = await _run(redis, tmp_path, redis_url)
    assert (job.state, job.error) == ("failed", f"{tmp_path}: manifest.json: missing")


async def test_a_reader_never_sees_a_mixture_of_two_versions(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    await _run(redis, _snapshot(tmp_path, "v1", mark=1), redis_url)
    snapshots = [_snapshot(tmp_path, f"v{number}", mark=number) for number in range(2, 6)]
    torn: list[str] = []
    stop = asyncio.Event()

    def read_once() -> None:
        version = plain.get(redis_keys.SNAPSHOT_POINTER).decode()
        blobs = plain.mget(redis_keys.user_features(version, user) for user in range(1, 2501, 250))
        if set(blobs) != {_blob(int(version[1:]))}:
            torn.append(version)

    async def read() -> None:
        while not stop.is_set():
            await asyncio.to_thread(read_once)

    reader = asyncio.create_task(read())
    for snapshot in snapshots:
        assert (await _run(redis, snapshot, redis_url)).state == "done"
    stop.set()
    await reader
    assert torn == []


async def test_the_same_version_again_changes_nothing(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    snapshot = _snapshot(tmp_path, "v1")
    await _run(redis, snapshot, redis_url)
    before = plain.dbsize()
    assert (await _run(redis, snapshot, redis_url)).state == "done"
    assert plain.dbsize() == before
    assert plain.ttl(redis_keys.user_features("v1", 1)) == -1


@pytest.mark.parametrize("damage", ["absent", "changed"])
async def test_an_unusable_snapshot_is_rejected_and_reported_and_the_previous_one_stays(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path, damage: str
) -> None:
    await _run(redis, _snapshot(tmp_path, "v1"), redis_url)
    bad = _snapshot(tmp_path, "v2")
    if damage == "absent":
        bad = tmp_path / "nowhere"
    else:
        (bad / "users-00000.parquet").write_bytes(b"not what was written")
    with monitoring.testing.captured() as reports:
        job = await _run(redis, bad, redis_url)
    assert job.state == "failed"
    assert str(bad) in (job.error or "")
    (report,) = reports.of("pipeline.feature_store_sync")
    assert report.fingerprint == ("feature_store", "sync_snapshot", "UnusableSnapshotError")
    assert plain.get(redis_keys.SNAPSHOT_POINTER) == b"v1"


@pytest.mark.parametrize("schema", ["e98a244902e8ff2e", "0" * 16], ids=["the first release", "unknown"])
async def test_a_snapshot_of_another_feature_schema_is_synced_with_that_schema(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path, schema: str
) -> None:
    """Whether its features can be used is decided by who reads them: that may be an earlier or a later release."""
    folder = _snapshot(tmp_path, "v1", users=20)
    manifest = (folder / "manifest.json").read_text(encoding="utf-8")
    (folder / "manifest.json").write_text(manifest.replace(FEATURE_SCHEMA, schema), encoding="utf-8")
    with monitoring.testing.captured() as reports:
        job = await _run(redis, folder, redis_url)
    assert (job.state, job.users, job.error) == ("done", 20, None)
    assert list(reports) == []
    assert plain.get(redis_keys.SNAPSHOT_POINTER) == b"v1"
    assert plain.get(redis_keys.snapshot_schema("v1")) == schema.encode()
    assert plain.mget(redis_keys.user_features("v1", user) for user in (1, 20)) == [_blob(1)] * 2


_SYNC_ONE = """
import asyncio, sys
from feature_sync.connections import open_redis, RedisFaults
from feature_sync.metrics import Metrics
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.switch import SnapshotSwitch

async def main():
    jobs = SyncJobs(SnapshotSwitch(open_redis(sys.argv[1])), RedisFaults(sys.argv[1]), Metrics())
    job = jobs.submit(sys.argv[2])
    print("started", flush=True)
    await jobs.step()

asyncio.run(main())
"""


async def test_a_sync_killed_at_any_moment_leaves_a_complete_version(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    await _run(redis, _snapshot(tmp_path, "v1", mark=1), redis_url)
    moments = random.Random(42)
    snapshot = _snapshot(tmp_path, "v2", users=20_000, mark=2)
    for _ in range(6):
        process = subprocess.Popen(  # noqa: ASYNC220 - starts at once, and the wait for its line is short
            [sys.executable, "-c", _SYNC_ONE, redis_url, str(snapshot)], stdout=subprocess.PIPE, env=os.environ
        )
        assert process.stdout is not None
        process.stdout.readline()
        await asyncio.sleep(moments.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        version = plain.get(redis_keys.SNAPSHOT_POINTER).decode()
        users = range(1, 2501, 100)
        assert set(plain.mget(redis_keys.user_features(version, user) for user in users)) == {_blob(int(version[1:]))}
    assert (await _run(redis, _snapshot(tmp_path, "v3", mark=3), redis_url)).state == "done"
    left = plain.keys("fs:v2:*")
    assert all(plain.ttl(key) > 0 for key in left)


async def test_an_unexpected_error_fails_the_job_and_the_next_one_runs(
    redis: AsyncRedis, redis_url: str, tmp_path: Path
) -> None:
    class Broken(SnapshotSwitch):
        async def retire_others(self, version: str) -> int:
            if version == "v1":
                raise RuntimeError("of all things")
            return await super().retire_others(version)

    jobs = SyncJobs(Broken(redis), RedisFaults(redis_url), Metrics())
    first, second = (jobs.submit(str(_snapshot(tmp_path, version, users=3))) for version in ("v1", "v2"))
    loop = SupervisedLoop("snapshot syncs", jobs.step)
    with monitoring.testing.captured() as reports:
        task = asyncio.create_task(loop.run())
        async with asyncio.timeout(10):
            while second.state != "done":  # noqa: ASYNC110 - as a caller over HTTP polls
                await asyncio.sleep(0.01)
        await cancel_all([task])
    assert (first.state, first.error) == ("failed", "of all things")
    assert reports.point_ids == ["pipeline.feature_store_sync", "api.background_failed"]


async def test_a_protocol_without_its_package_fails_the_job_and_is_not_a_fault_of_the_service(
    redis: AsyncRedis, redis_url: str
) -> None:
    with monitoring.testing.captured() as reports:
        job = await _run(redis, "gs://bucket/snapshot", redis_url)
    assert job.state == "failed"
    assert "gcsfs" in (job.error or "")
    assert reports.point_ids == ["pipeline.feature_store_sync"]


async def test_a_snapshot_on_an_object_store_is_synced_and_one_out_of_reach_fails_its_job(
    redis: AsyncRedis, redis_url: str, tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = _snapshot(tmp_path, "v1", users=3)
    address = f"{s3_server.address}/snapshots/v1"
    await asyncio.to_thread(S3FileSystem().put, f"{snapshot}/", address.removeprefix("s3://") + "/", recursive=True)
    assert (await _run(redis, address, redis_url)).state == "done"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    with monitoring.testing.captured() as reports:
        job = await _run(redis, address, redis_url)
    assert (job.state, reports.point_ids) == ("failed", ["pipeline.feature_store_sync"])
    assert "object store: Could not connect to the endpoint URL" in (job.error or "")
