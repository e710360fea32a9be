import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
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
from contracts.features import FEATURE_SCHEMA, USER_FEATURES
from contracts.snapshot import write_snapshot
from contracts.user_blob import History, UserBlob
from feature_sync.connections import RedisFaults
from feature_sync.metrics import Metrics
from feature_sync.snapshots.bodies import SyncJob
from feature_sync.snapshots.job_store import JobStore
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.lease import GRACE_SECONDS
from feature_sync.snapshots.retirement import Retirement
from feature_sync.snapshots.source import FetchedSnapshot
from feature_sync.snapshots.switch import Progress, SnapshotSwitch
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
    jobs = SyncJobs(SnapshotSwitch(redis), JobStore(redis, "one"), RedisFaults(redis_url), Metrics())
    job = await jobs.submit(str(snapshot))
    await jobs.step()
    return job


def _active(plain: Redis) -> str:
    """Return the active version in Redis: the snapshot's version, the hash of its content and a token."""
    return plain.get(redis_keys.SNAPSHOT_POINTER).decode()


def _active_snapshot(plain: Redis) -> str:
    return _active(plain).split(".")[0]


def _versions_with_keys(plain: Redis) -> set[str]:
    return {key.decode().split(":")[1] for key in plain.scan_iter("fs:*:*")}


def _later(redis: AsyncRedis, seconds: float) -> Retirement:
    return Retirement(redis, clock=lambda: time.time() + seconds)


async def test_a_snapshot_is_written_completely_and_then_activated(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    job = await _run(redis, _snapshot(tmp_path, "v1"), redis_url)
    assert (job.state, job.users, job.total, job.version) == ("done", 2500, 2500, "v1")
    active = _active(plain)
    assert active.startswith("v1.")
    assert plain.get(redis_keys.snapshot_schema(active)) == FEATURE_SCHEMA.encode()
    named = [spec["name"] for spec in json.loads(plain.get(redis_keys.snapshot_features(active)))]
    assert named == [feature.name for feature in USER_FEATURES]
    assert plain.mget(redis_keys.user_features(active, user) for user in (1, 1000, 1001, 2500)) == [_blob(1)] * 4


async def test_a_snapshot_of_an_earlier_release_does_not_name_its_features(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    folder = _snapshot(tmp_path, "v1", users=20)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del manifest["user_features"]
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert (await _run(redis, folder, redis_url)).state == "done"
    assert plain.get(redis_keys.snapshot_features(_active(plain))) is None


async def test_the_previous_version_is_removed_after_a_grace_and_nothing_else_is(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    plain.set("somebody:else", "kept")
    await _run(redis, _snapshot(tmp_path, "v1"), redis_url)
    first = _active(plain)
    await _run(redis, _snapshot(tmp_path, "v2"), redis_url)
    second = _active(plain)
    await _later(redis, GRACE_SECONDS - 10).remove_due()
    assert len(plain.keys(f"fs:{first}:*")) == 2502
    await _later(redis, GRACE_SECONDS + 1).remove_due()
    assert _versions_with_keys(plain) == {second}
    assert not plain.exists(redis_keys.snapshot_users(first))
    assert len(plain.keys(f"fs:{second}:*")) == 2502
    assert plain.get("somebody:else") == b"kept"


async def test_no_key_of_any_version_has_a_ttl(redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        await _run(redis, _snapshot(tmp_path, version, users=50), redis_url)
    assert {plain.ttl(key) for key in plain.scan_iter("*fs:*")} == {-1}


async def test_the_versions_of_a_release_that_listed_no_users_are_removed_after_the_grace(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    """They are found by a scan, once: the active one, those of interrupted syncs, and what is not text."""
    plain.set(redis_keys.SNAPSHOT_POINTER, "v1")
    for key in ("fs:v1:u:7", "fs:v1:schema", "fs:interrupted:u:7", b"fs:\xff:u:{7}"):
        plain.set(key, "old")
    await _run(redis, _snapshot(tmp_path, "v2", users=20), redis_url)
    active = _active(plain)
    await _later(redis, GRACE_SECONDS - 10).remove_due()
    assert plain.get("fs:v1:u:7") == b"old"
    await _later(redis, GRACE_SECONDS + 1).remove_due()
    assert _versions_with_keys(plain) == {active}
    assert len(plain.keys(f"fs:{active}:*")) == 22
    assert plain.zrange(redis_keys.SNAPSHOT_VERSIONS, 0, -1) == [active.encode()]


async def test_a_pointer_that_is_not_text_does_not_stop_a_sync(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    plain.set(redis_keys.SNAPSHOT_POINTER, b"\xff")
    assert await SnapshotSwitch(redis).active() == "\ufffd"
    assert (await _run(redis, _snapshot(tmp_path, "v1"), redis_url)).state == "done"
    await _later(redis, GRACE_SECONDS + 1).remove_due()
    assert plain.zrange(redis_keys.SNAPSHOT_VERSIONS, 0, -1) == [_active(plain).encode()]


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
        version = _active(plain)
        blobs = plain.mget(redis_keys.user_features(version, user) for user in range(1, 2501, 250))
        if set(blobs) != {_blob(int(version.split(".")[0][1:]))}:
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


async def test_the_active_snapshot_again_changes_nothing(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    snapshot = _snapshot(tmp_path, "v1")
    await _run(redis, snapshot, redis_url)

    def dumps() -> dict[bytes, bytes]:
        return {key: plain.dump(key) for key in plain.scan_iter() if key != redis_keys.SYNC_JOBS.encode()}

    before = dumps()
    job = await _run(redis, snapshot, redis_url)
    assert (job.state, job.users) == ("done", 2500)
    assert dumps() == before


async def test_the_active_snapshot_of_which_a_key_was_lost_is_written_again(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    """A cluster's node may lose its data, and the pointer is on another one."""
    snapshot = _snapshot(tmp_path, "v1")
    await _run(redis, snapshot, redis_url)
    plain.delete(redis_keys.user_features(_active(plain), 2400))
    assert (await _run(redis, snapshot, redis_url)).state == "done"
    assert plain.get(redis_keys.user_features(_active(plain), 2400)) == _blob(1)


async def test_the_same_version_with_other_content_is_another_version_in_redis(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    await _run(redis, _snapshot(tmp_path / "a", "v1", mark=1), redis_url)
    first = _active(plain)
    await _run(redis, _snapshot(tmp_path / "b", "v1", mark=2), redis_url)
    assert _active(plain) != first
    assert plain.get(redis_keys.user_features(first, 7)) == _blob(1)
    assert plain.get(redis_keys.user_features(_active(plain), 7)) == _blob(2)


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
    assert _active_snapshot(plain) == "v1"


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
    active = _active(plain)
    assert active.startswith("v1.")
    assert plain.get(redis_keys.snapshot_schema(active)) == schema.encode()
    assert plain.mget(redis_keys.user_features(active, user) for user in (1, 20)) == [_blob(1)] * 2


_SYNC_ONE = """
import asyncio, sys
from feature_sync.connections import open_redis, RedisFaults
from feature_sync.metrics import Metrics
from feature_sync.snapshots.job_store import JobStore
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.switch import SnapshotSwitch

async def main():
    redis = open_redis(sys.argv[1])
    jobs = SyncJobs(SnapshotSwitch(redis), JobStore(redis, "one"), RedisFaults(sys.argv[1]), Metrics())
    print("started", flush=True)
    sys.stdin.readline()
    for snapshot in sys.argv[2:]:
        job = await jobs.submit(snapshot)
        await jobs.step()
        print(job.state, job.error, flush=True)

asyncio.run(main())
"""


def _start_syncs(redis_url: str, *snapshots: Path) -> subprocess.Popen[bytes]:
    """Start a worker, and return it when it waits for the line at which its first sync begins."""
    command = [sys.executable, "-c", _SYNC_ONE, redis_url, *map(str, snapshots)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    process.stdout.readline()
    return process


class _Reader(threading.Thread):
    """Reads the active version without a pause, as the API does, and notes versions that are not complete."""

    def __init__(self, url: str, users: int) -> None:
        super().__init__()
        self.incomplete: list[str] = []
        self.reads = 0
        self._redis = Redis.from_url(url, socket_timeout=5)
        self._users = range(1, users + 1, 37)
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            version = _active(self._redis)
            blobs = self._redis.mget(redis_keys.user_features(version, user) for user in self._users)
            if set(blobs) != {_blob(int(version.split(".")[0][1:]))}:
                self.incomplete.append(version)
            self.reads += 1

    def stop(self) -> None:
        self._stopped.set()
        self.join()
        self._redis.close()


ROUNDS = 4


async def test_two_workers_with_three_syncs_and_a_kill_leave_one_complete_version(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    """At any moment the active version is complete, and afterwards no other version has keys."""
    users, moments = 20_000, random.Random(42)
    await _run(redis, _snapshot(tmp_path, "v1", mark=1, users=users), redis_url)
    snapshots = [_snapshot(tmp_path, f"v{number}", mark=number, users=users) for number in (2, 3, 4)]
    reader = _Reader(redis_url, users)
    reader.start()
    try:
        for _ in range(ROUNDS):
            moments.shuffle(snapshots)
            shares = [snapshots[:1], snapshots[1:]]
            workers = [await asyncio.to_thread(_start_syncs, redis_url, *share) for share in shares]
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write(b"\n")
                worker.stdin.flush()
            await asyncio.sleep(moments.uniform(0.05, 0.6))
            killed = moments.randrange(2)
            workers[killed].send_signal(signal.SIGKILL)
            workers[killed].communicate()
            # A killed worker's lease expires; the test does not wait for that.
            holder = (plain.hget(redis_keys.SYNC_LEASE, "version") or b"").decode()
            if holder.split(".")[0] in {snapshot.name for snapshot in shares[killed]}:
                plain.delete(redis_keys.SYNC_LEASE)
            output, _ = await asyncio.to_thread(workers[1 - killed].communicate)
            assert set(output.decode().splitlines()) == {"done None"}
    finally:
        reader.stop()
    assert reader.incomplete == []
    await _later(redis, 300).remove_due()
    active = _active(plain)
    assert _versions_with_keys(plain) == {active}
    assert len(plain.keys(f"fs:{active}:*")) == users + 2
    assert plain.zrange(redis_keys.SNAPSHOT_VERSIONS, 0, -1) == [active.encode()]


async def test_an_unexpected_error_fails_the_job_and_the_next_one_runs(
    redis: AsyncRedis, redis_url: str, tmp_path: Path
) -> None:
    class Broken(SnapshotSwitch):
        async def sync(self, snapshot: FetchedSnapshot, progress: Progress) -> None:
            if snapshot.manifest.version == "v1":
                raise RuntimeError("of all things")
            await super().sync(snapshot, progress)

    jobs = SyncJobs(Broken(redis), JobStore(redis, "one"), RedisFaults(redis_url), Metrics())
    first, second = [await jobs.submit(str(_snapshot(tmp_path, version, users=3))) for version in ("v1", "v2")]
    loop = SupervisedLoop("snapshot syncs", jobs.step)
    with monitoring.testing.captured() as reports:
        task = asyncio.create_task(loop.run())
        async with asyncio.timeout(10):
            while second.state != "done":  # noqa: ASYNC110 - as a caller over HTTP polls
                await asyncio.sleep(0.01)
        await cancel_all([task])
    assert (first.state, first.error) == ("failed", "of all things")
    assert reports.point_ids == ["pipeline.feature_store_sync", "api.background_failed"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("gs://bucket/snapshot", "gcsfs"),
        ("nosuch://bucket/snapshot", "Protocol not known: nosuch"),
        ("s3://bucket/snapshot", "object store: Unable to locate credentials"),
        ("http://127.0.0.1:9/snapshot", "there is no such folder"),
        ("zip://snapshot::{folder}/no.zip", "File is not a zip file"),
        ("reference://snapshot", "missing 1 required positional argument: 'fo'"),
    ],
)
async def test_an_address_that_no_driver_can_open_fails_the_job_and_is_not_a_fault_of_the_service(
    redis: AsyncRedis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, reason: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    S3FileSystem.clear_instance_cache()
    (tmp_path / "no.zip").write_bytes(b"no archive")
    with monitoring.testing.captured() as reports:
        job = await _run(redis, address.format(folder=tmp_path), redis_url)
    assert job.state == "failed"
    assert reason in (job.error or "")
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
