"""`featurectl verify` finds every difference between the active version and its snapshot."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from contracts import redis_keys
from contracts.command_line import OK, REFUSED
from contracts.snapshot import write_snapshot
from feature_sync.errors import SnapshotChangedError
from feature_sync.featurectl.main import main
from feature_sync.marks import Marks
from feature_sync.snapshots.lease import GRACE_SECONDS
from feature_sync.snapshots.retirement import Retirement
from feature_sync.snapshots.source import fetch_snapshot
from feature_sync.snapshots.switch import Progress, SnapshotSwitch
from feature_sync.snapshots.verification import SnapshotVerification

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC)
USERS = 2500


def _snapshot(folder: Path, version: str, value: bytes = b"blob") -> str:
    write_snapshot(folder / version, version, NOW, [(user, value) for user in range(1, USERS + 1)])
    return str(folder / version)


async def _synced(redis: AsyncRedis, address: str) -> str:
    switch = SnapshotSwitch(redis)
    with fetch_snapshot(address) as snapshot:
        await switch.sync(snapshot, Progress())
    return str(await switch.active())


async def test_a_complete_version_matches_beside_one_that_is_not_removed_yet(redis: AsyncRedis, tmp_path: Path) -> None:
    await _synced(redis, _snapshot(tmp_path, "v1"))
    active = await _synced(redis, _snapshot(tmp_path, "v2", b"new"))
    found = await SnapshotVerification(redis, Marks).verify(str(tmp_path / "v2"))
    assert (found.matches, found.active, found.users, found.keys) == (True, active, USERS, USERS)
    other = await SnapshotVerification(redis, Marks).verify(str(tmp_path / "v1"))
    assert (other.matches, other.same_content, other.active) == (False, False, active)


async def test_each_kind_of_difference_is_found_and_named(redis: AsyncRedis, plain: Redis, tmp_path: Path) -> None:
    address = _snapshot(tmp_path, "v1")
    active = await _synced(redis, address)
    # Until then, versions that no list names may have keys.
    await Retirement(redis, lambda: time.time() + GRACE_SECONDS + 1).remove_due()
    key: Callable[[int], str] = lambda user: redis_keys.user_features(active, user)  # noqa: E731 - short
    plain.delete(key(3), redis_keys.snapshot_schema(active))
    plain.set(key(4), b"other")
    plain.mset(
        {key(USERS + 1): b"blob", "fs:v0.0123.abcd:u:1": b"blob", f"fs:{active}:u:x": b"?", f"fs:{active}:z": b""}
    )
    # The list begins with an empty element; the third holds the users from 1001 on.
    plain.lset(redis_keys.snapshot_users(active), 2, b"")
    found = await SnapshotVerification(redis, Marks).verify(address)
    assert not found.matches
    assert found.missing.examples == [redis_keys.snapshot_schema(active), key(3)]
    assert found.different.examples == [key(4)]
    assert sorted(found.foreign.examples) == sorted(
        [key(USERS + 1), "fs:v0.0123.abcd:u:1", f"fs:{active}:u:x", f"fs:{active}:z"]
    )
    assert (found.unlisted.count, found.unlisted.examples[0]) == (1000, key(1001))
    assert (found.users, found.keys) == (USERS, USERS + 1)


async def test_a_switch_during_the_comparison_is_said(redis: AsyncRedis, plain: Redis, tmp_path: Path) -> None:
    await _synced(redis, _snapshot(tmp_path, "v1"))

    def marks_of_the_moment_of_a_switch() -> Marks:
        plain.set(redis_keys.SNAPSHOT_POINTER, "v2.0123456789abcdef.abcd")
        return Marks()

    with pytest.raises(SnapshotChangedError, match="was replaced while it was compared"):
        await SnapshotVerification(redis, marks_of_the_moment_of_a_switch).verify(str(tmp_path / "v1"))


def test_the_command_says_what_differs_and_ends_with_1(
    worker: httpx.Client, plain: Redis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        code = main(["--url", str(worker.base_url), "--token", "the-token", *arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    code, text = run("verify")
    assert (code, "No sync is known" in text) == (REFUSED, True)
    address = _snapshot(tmp_path, "v1")
    assert run("verify", address) == (
        REFUSED,
        f"no snapshot is active, but {address} is {_content(run, address)}: sync it\n",
    )
    run("sync", address)
    code, text = run("verify")
    assert code == OK, text
    assert text.endswith(f" is complete: {USERS} users as in {address}\n")
    active = plain.get(redis_keys.SNAPSHOT_POINTER).decode()
    plain.delete(redis_keys.user_features(active, 9))
    code, text = run("verify", address)
    assert code == REFUSED
    assert f"  1 missing: {redis_keys.user_features(active, 9)}\n" in text
    assert run("verify", "--json")[1].startswith("{")
    assert "there is no such folder" in run("verify", "/nowhere")[1]


def _content(run: Callable[..., tuple[int, str]], address: str) -> str:
    text = run("verify", address)[1]
    return text.rpartition(" is ")[2].partition(":")[0]
