"""Which earlier snapshot the next one is compared with, over many nights."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from conftest import END
from contracts.features import USER_FEATURES
from contracts.snapshot import SnapshotManifest, add_increment, content_name, read_manifest, write_snapshot
from localservers.ports import Ports
from pipeline.business.content import Content
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.settings import Settings
from pipeline.snapshot import add_changes
from pipeline.snapshot.increments import MAX_INCREMENTS
from pipeline.steps import RunInfo, RunKind, begin_run, new_run, run_step, step_of, write_run_info
from pipeline.steps.data import synced_snapshots
from pipeline.steps.markers import write_marker

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _night(folder: Path, day: int, synced: list[str], *, features: int = len(USER_FEATURES)) -> SnapshotManifest:
    """Write the snapshot of a night, in which one of fifty users changes, and sync it."""
    target = folder / f"v{day}"
    users = [(user, b"%d" % (day if user == day else 0)) for user in range(50)]
    created = NOW + timedelta(days=day)
    manifest = write_snapshot(target, target.name, created, users, user_features=USER_FEATURES[:features])
    add_changes(target, manifest, synced)
    synced.insert(0, str(target))
    return read_manifest(target)


def _bases(manifests: list[SnapshotManifest]) -> list[int | None]:
    names = [content_name(manifest) for manifest in manifests]
    return [None if each.increment is None else names.index(each.increment.base) for each in manifests]


def test_each_seventh_is_whole_and_no_chain_has_more_than_two_bases(tmp_path: Path) -> None:
    synced: list[str] = []
    manifests = [_night(tmp_path, day, synced) for day in range(15)]
    assert _bases(manifests) == [None, 0, 1, 0, 3, 0, 5, None, 7, 8, 7, 10, 7, 12, None]
    assert {each.increment.depth for each in manifests if each.increment is not None} == {1, 2}
    # The change of a night is gone in the next one.
    assert [each.increment and each.increment.rows for each in manifests[:7]] == [None, 1, 2, 1, 2, 1, 2]


def test_of_runs_as_of_one_moment_one_is_whole_at_last(tmp_path: Path) -> None:
    """Their snapshots never get a day older than the last whole one."""
    names = ("whole", "last", "next", "after")
    for name in names:
        write_snapshot(tmp_path / name, name, NOW, [(1, name.encode())], user_features=USER_FEATURES)
    whole, last, following, after = (tmp_path / name for name in names)
    add_increment(last, whole, MAX_INCREMENTS - 1)
    synced = [str(last), str(whole)]
    add_changes(following, read_manifest(following), synced)
    increment = read_manifest(following).increment
    assert increment is not None
    assert increment.number == MAX_INCREMENTS
    add_changes(after, read_manifest(after), [str(following), *synced])
    assert read_manifest(after).increment is None


def test_with_a_refresh_each_hour_all_users_are_written_once_a_day(tmp_path: Path) -> None:
    """Although only the last three refreshes stay: the whole one stays, too, be it a training's or a refresh's."""
    settings = Settings(artifact_url=str(tmp_path), snapshot_incremental=True, runs_kept=1)
    whole, numbers, rows = [], [], []
    for hour in range(3, 60):
        kind: RunKind = "training" if hour % 24 == 3 else "refresh"
        name = f"{'refresh-' * (kind == 'refresh')}{hour}"
        # A training begins a moment sooner than that of the day before.
        began = NOW + timedelta(hours=hour, seconds=-hour if kind == "training" else 0)
        run = new_run(settings, name, kind)
        write_run_info(run, RunInfo(run_id=name, as_of=began, started_at=began, kind=kind))
        folder = tmp_path / "snapshots" / name
        users = [(user, b"%d" % (hour if user == hour else 0)) for user in range(60)]
        manifest = write_snapshot(folder, name, began, users, user_features=USER_FEATURES)
        runs = [str(path) for path in (tmp_path / "runs").iterdir()]
        add_changes(folder, manifest, synced_snapshots(runs))
        for step in ("deploy" if kind == "training" else "refresh_deploy", "sync"):
            write_marker(settings, run, step_of(step), inputs={}, started_at=began, seconds=1.0)
        increment = read_manifest(folder).increment
        if increment is None:
            whole.append(hour)
        else:
            numbers.append(increment.number)
            rows.append(increment.rows)
    assert whole == [3, 28, 52]
    assert max(numbers) == 24
    assert set(rows) <= {1, 2}
    assert len(list((tmp_path / "snapshots").iterdir())) <= 8


def test_a_run_writes_an_increment_to_the_snapshot_that_was_synced_last(content: Content, tmp_path: Path) -> None:
    """Of two nights over one marketplace: who did nothing between them is the same in both snapshots."""
    url = f"sqlite:///{tmp_path / 'business.db'}"
    engine = open_engine(url, "BUSINESS_DATABASE_URL")
    replace_content(engine, content)
    with engine.connect() as connection:
        query = text("SELECT DISTINCT user_id FROM interactions WHERE ts > :since")
        active = connection.execute(query, {"since": f"{END - timedelta(hours=2):%Y-%m-%d %H:%M:%S}"}).scalars().all()
    engine.dispose()
    settings = Settings(
        business_database_url=SecretStr(url),
        database_url=None,
        artifact_url=str(tmp_path / "artifacts"),
        snapshot_incremental=True,
    )
    manifests = []
    for name, hours in (("first", 2), ("unsynced", 1), ("second", 0)):
        info = RunInfo(run_id=name, as_of=END - timedelta(hours=hours), started_at=END, publish=False)
        run = begin_run(settings, info)
        for step in ("extract", "quality", "columns", "features"):
            run_step(settings, run, step_of(step))
        if name != "unsynced":
            # As the step does at its end.
            write_marker(settings, run, step_of("sync"), inputs={}, started_at=END, seconds=1.0)
        manifests.append(read_manifest(tmp_path / "artifacts" / "snapshots" / name))
    first, _, second = manifests
    assert first.increment is None
    assert second.increment is not None
    assert second.increment.base == content_name(first)
    assert 0 < second.increment.rows <= len(active) < second.rows / 2


def test_without_a_usable_base_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    synced: list[str] = []
    manifests = [_night(tmp_path, day, synced) for day in range(3)]
    assert _bases(manifests) == [None, 0, 1]
    lowest = synced[2:]
    # The lowest one was deleted.
    assert _night(tmp_path, 3, synced[:2]).increment is None
    assert _night(tmp_path, 4, []).increment is None
    assert _night(tmp_path, 5, lowest[:], features=3).increment is None
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    (Path(lowest[0]) / "users-00000.parquet").write_bytes(b"damaged")
    assert _night(tmp_path, 6, lowest).increment is None
    assert "gets no increment" in caplog.text


def test_a_snapshot_that_cannot_be_read_counts_as_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    synced: list[str] = []
    for day in range(2):
        _night(tmp_path, day, synced)
    away = f"ftp://127.0.0.1:{Ports.free().api}/snapshots/v1"
    assert _night(tmp_path, 2, [away, *synced]).increment is None
    assert f"{away} counts as not there" in caplog.text
    manifest = Path(synced[0]) / "manifest.json"
    manifest.unlink()
    manifest.mkdir()
    assert _night(tmp_path, 3, synced).increment is None
    assert f"{synced[1]} counts as not there" in caplog.text


def test_a_run_that_cannot_be_read_counts_as_not_synced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(artifact_url=str(tmp_path))
    runs = [f"{tmp_path}/runs/{name}" for name in ("first", "second")]
    for run in runs:
        write_run_info(run, RunInfo(run_id=run[-5:], as_of=NOW, started_at=NOW))
        write_marker(settings, run, step_of("sync"), inputs={}, started_at=NOW, seconds=1.0)
    marker = Path(runs[1], "sync.done.json")
    marker.unlink()
    marker.mkdir()
    assert synced_snapshots(runs) == [f"{tmp_path}/snapshots/first"]
    assert f"the snapshot of {runs[1]} counts as not synced" in caplog.text
