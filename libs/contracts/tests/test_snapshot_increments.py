"""An increment holds what a snapshot changes in its base, and the snapshot is whole without it."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.checksums import ChecksumError
from contracts.features import USER_FEATURES
from contracts.snapshot import (
    MalformedSnapshotError,
    SnapshotManifest,
    UnsortedUsersError,
    add_increment,
    can_be_base,
    content_name,
    iter_changes,
    iter_users,
    parse_manifest,
    read_manifest,
    write_snapshot,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _written(folder: Path, users: Iterable[tuple[int, bytes]], *, day: int = 0) -> SnapshotManifest:
    return write_snapshot(folder, folder.name, NOW + timedelta(days=day), users)


def _changes(folder: Path) -> list[tuple[int, bytes]]:
    increment = read_manifest(folder).increment
    assert increment is not None
    changes = [user for batch in iter_changes(folder, increment) for user in batch]
    assert len(changes) == increment.rows
    return changes


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({1: b"a", 3: b"b"}, {1: b"a", 3: b"b"}, {}),
        ({1: b"a", 3: b"b"}, {1: b"a", 3: b"c"}, {3: b"c"}),
        ({2: b"a"}, {1: b"x", 2: b"a", 9: b"y"}, {1: b"x", 9: b"y"}),
        ({1: b"a", 2: b"b", 9: b"c"}, {2: b"b"}, {1: b"", 9: b""}),
        ({1: b"a", 2: b"b"}, {}, {1: b"", 2: b""}),
        ({}, {5: b"a"}, {5: b"a"}),
        ({1: b"a", 4: b"b"}, {2: b"a", 4: b"x"}, {1: b"", 2: b"a", 4: b"x"}),
    ],
)
def test_changed_new_and_removed_users_are_in_it(
    tmp_path: Path, before: dict[int, bytes], after: dict[int, bytes], changes: dict[int, bytes]
) -> None:
    base = _written(tmp_path / "v1", before.items())
    whole = _written(tmp_path / "v2", after.items(), day=1)
    manifest = add_increment(tmp_path / "v2", tmp_path / "v1", 1)
    assert dict(_changes(tmp_path / "v2")) == changes
    assert manifest.increment is not None
    assert (manifest.increment.base, manifest.increment.base_until) == (content_name(base), NOW)
    assert dict(user for batch in iter_users(tmp_path / "v2", manifest) for user in batch) == after
    assert content_name(manifest) == content_name(whole), "the increment is no part of the content"


def test_a_base_has_at_most_one_below_it_the_same_features_and_no_later_events(tmp_path: Path) -> None:
    manifests = [_written(tmp_path / f"v{day}", [(1, b"%d" % day)], day=day) for day in range(4)]
    assert can_be_base(manifests[0], manifests[1])
    assert not can_be_base(manifests[1], manifests[0])
    other = write_snapshot(tmp_path / "other", "other", NOW, [], user_features=USER_FEATURES[:2])
    assert not can_be_base(other, manifests[1])
    for day in (1, 2):
        assert can_be_base(manifests[day - 1], manifests[day])
        manifests[day] = add_increment(tmp_path / f"v{day}", tmp_path / f"v{day - 1}", day)
    assert [each.increment and (each.increment.depth, each.increment.number) for each in manifests[:3]] == [
        None,
        (1, 1),
        (2, 2),
    ]
    assert not can_be_base(manifests[2], manifests[3])


@pytest.mark.parametrize("unsorted", ["v1", "v2"])
def test_users_out_of_order_are_not_compared_and_the_snapshot_stays_whole(tmp_path: Path, unsorted: str) -> None:
    users = [(1, b"a"), (2, b"b")]
    for day, version in enumerate(("v1", "v2")):
        _written(tmp_path / version, users[::-1] if version == unsorted else users, day=day)
    with pytest.raises(UnsortedUsersError, match="user 1 comes after user 2"):
        add_increment(tmp_path / "v2", tmp_path / "v1", 1)
    assert read_manifest(tmp_path / "v2").increment is None


def test_without_a_base_that_can_be_read_the_snapshot_stays_whole(tmp_path: Path) -> None:
    for day, version in enumerate(("v1", "v2")):
        _written(tmp_path / version, [(1, b"%d" % day)], day=day)
    (tmp_path / "v1" / "manifest.json").unlink()
    (tmp_path / "v1" / "manifest.json").mkdir()
    with pytest.raises(MalformedSnapshotError, match="the base can't be read"):
        add_increment(tmp_path / "v2", tmp_path / "v1", 1)
    assert read_manifest(tmp_path / "v2").increment is None


@pytest.mark.parametrize("name", ["../../elsewhere", "users-00000.parquet", "/etc/increment/users-00000.parquet"])
def test_an_increment_names_only_files_of_its_own_folder(tmp_path: Path, name: str) -> None:
    _written(tmp_path / "v1", [(1, b"a")])
    _written(tmp_path / "v2", [(1, b"b")], day=1)
    add_increment(tmp_path / "v2", tmp_path / "v1", 1)
    manifest = json.loads((tmp_path / "v2" / "manifest.json").read_bytes())
    manifest["increment"]["files"] = {name: "0" * 64}
    (tmp_path / "v2" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(MalformedSnapshotError, match=r"manifest\.json: increment\.files"):
        parse_manifest(tmp_path / "v2")


def test_a_damaged_increment_is_refused_by_name(tmp_path: Path) -> None:
    _written(tmp_path / "v1", [(1, b"a")])
    _written(tmp_path / "v2", [(1, b"b")], day=1)
    add_increment(tmp_path / "v2", tmp_path / "v1", 1)
    (tmp_path / "v2" / "increment" / "users-00000.parquet").write_bytes(b"damaged")
    with pytest.raises(ChecksumError, match=r"increment/users-00000\.parquet"):
        read_manifest(tmp_path / "v2")
