"""A snapshot: what is written is what is read, and a damaged one is not read at all."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.checksums import ChecksumError, sha256_of
from contracts.features import FEATURE_SCHEMA
from contracts.snapshot import MalformedSnapshotError, iter_users, read_manifest, write_snapshot
from contracts.snapshot import files as snapshot_files

NOW = datetime(2026, 1, 2, tzinfo=UTC)
USERS = [(user, bytes([user]) * user) for user in range(1, 8)]


def test_users_come_back_in_order_over_all_files_and_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_files, "ROWS_PER_FILE", 3)
    written = write_snapshot(tmp_path, "v1", NOW, USERS)
    manifest = read_manifest(tmp_path)
    assert manifest == written
    assert (manifest.rows, len(manifest.files), manifest.feature_schema) == (7, 3, FEATURE_SCHEMA)
    batches = list(iter_users(tmp_path, manifest, batch_size=2))
    assert all(len(batch) <= 2 for batch in batches)
    assert [user for batch in batches for user in batch] == USERS


def test_a_snapshot_says_until_when_it_has_the_events_and_one_without_a_log_does_not(tmp_path: Path) -> None:
    """The absent field stays out of the file: readers of an earlier release accept no unknown ones."""
    until = NOW - timedelta(hours=1)
    written = write_snapshot(tmp_path / "log", "v1", NOW, USERS, events_until=until)
    assert read_manifest(tmp_path / "log") == written
    assert written.events_until == until
    assert write_snapshot(tmp_path / "none", "v1", NOW, USERS).events_until is None
    assert "events_until" not in json.loads((tmp_path / "none" / "manifest.json").read_bytes())
    assert read_manifest(tmp_path / "none").events_until is None


def test_fields_of_a_later_release_are_ignored(tmp_path: Path) -> None:
    written = write_snapshot(tmp_path, "v1", NOW, USERS)
    document = json.loads((tmp_path / "manifest.json").read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(document | {"stranger": 1}), encoding="utf-8")
    assert read_manifest(tmp_path) == written


def test_a_snapshot_without_users_is_one(tmp_path: Path) -> None:
    write_snapshot(tmp_path, "v1", NOW, [])
    manifest = read_manifest(tmp_path)
    assert (manifest.rows, list(iter_users(tmp_path, manifest))) == (0, [])


def test_a_snapshot_whose_writing_broke_off_has_no_manifest_and_is_refused(tmp_path: Path) -> None:
    def users() -> object:
        yield USERS[0]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write_snapshot(tmp_path, "v1", NOW, users())  # type: ignore[arg-type]
    with pytest.raises(MalformedSnapshotError, match=r"manifest\.json: missing"):
        read_manifest(tmp_path)


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    write_snapshot(tmp_path, "v1", NOW, USERS)
    path = tmp_path / "users-00000.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ChecksumError, match=r"users-00000\.parquet"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"), [("rows", -1), ("version", "a/b"), ("format", 9), ("events_until", "noon")]
)
def test_a_malformed_manifest_names_the_field(tmp_path: Path, field: str, value: object) -> None:
    write_snapshot(tmp_path, "v1", NOW, USERS)
    document = json.loads((tmp_path / "manifest.json").read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(document | {field: value}), encoding="utf-8")
    with pytest.raises(MalformedSnapshotError, match=rf"manifest\.json: {field}"):
        read_manifest(tmp_path)


def test_a_parquet_file_of_other_columns_is_refused_by_name(tmp_path: Path) -> None:
    manifest = write_snapshot(tmp_path, "v1", NOW, USERS)
    path = tmp_path / "users-00000.parquet"
    pq.write_table(pa.table({"user": [1], "blob": [b"x"]}), path)
    manifest = manifest.model_copy(update={"files": {path.name: sha256_of(path)}})
    with pytest.raises(MalformedSnapshotError, match=r"users-00000\.parquet"):
        list(iter_users(tmp_path, manifest))
