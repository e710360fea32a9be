"""What is uploaded is rejected with a reason, and the registry lives on."""

import itertools
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

import monitoring.testing
from contracts.bundle import pack, read_manifest, write_manifest
from contracts.checksums import sha256_of
from localservers.waiting import wait_until
from model_registry.bundle_checks.service import WORK
from model_registry.errors import BusyError
from model_registry.sandbox.client import Sandbox, SandboxUnavailableError, WorkDiedError
from model_registry.sandbox.limits import Limits
from model_registry.sandbox.slots import Slots
from model_registry.scratch import Scratch
from model_registry.settings import Settings
from ranking.testing import Size, tiny_archive, tiny_bundle
from running_registry import RunningRegistry
from testkit.hostile_bundles import write_hostile_bundles

SMALL = Size(60)


@pytest.fixture
def one_registry(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningRegistry]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    settings = Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr("the-registry-token"),
        max_bundle_mb=64,
    )
    with RunningRegistry(settings, sandbox) as running:
        yield running


def test_every_hostile_bundle_is_rejected_with_its_reason_and_nothing_is_left(
    one_registry: RunningRegistry, tmp_path: Path, sandbox: Sandbox
) -> None:
    good = one_registry.push(tiny_archive(tmp_path / "good.tar.gz")).json()["version"]
    assert one_registry.deploy(good).status_code == 201
    template = sandbox.template_pid
    valid = tiny_bundle(tmp_path / "valid", size=SMALL)
    tried, harmless = 0, []
    for name, archive in write_hostile_bundles(valid, tmp_path / "hostile", 7):
        tried += 1
        answer = one_registry.push(archive)
        if answer.status_code == 201:
            answer = one_registry.deploy(answer.json()["version"], force=True, reason="test")
            line = one_registry.http.get("/models/ranker/deployments").json()["deployments"][0]
            if answer.status_code == 201:
                # A flipped bit may be one of a title.
                assert name.startswith("fuzz: "), name
                harmless.append(name)
                one_registry.deploy(good, force=True, reason="test")
                continue
            assert (line["state"], line["detail"]) == ("failed", answer.json()["detail"])
        assert answer.status_code == 422, (name, answer.text)
        assert len(answer.json()["detail"]) > len("golden: "), name
    assert tried >= 80
    assert len(harmless) < 15
    assert (one_registry.active(), sandbox.template_pid) == (good, template)
    assert not list((tmp_path / "tmp").glob("recsys-registry-*/*/*"))


def test_a_process_that_a_bundle_ends_is_a_failed_deployment_with_stage_history_and_event(
    one_registry: RunningRegistry, tmp_path: Path, sandbox: Sandbox
) -> None:
    one_registry.deploy(one_registry.push_new(tmp_path, seed=1))
    # A catalogue that says each of its texts a million times.
    version = one_registry.push(_expanding(tmp_path)).json()["version"]
    with monitoring.testing.captured() as reports:
        refused = one_registry.deploy(version)
    assert (refused.status_code, refused.json()["detail"].split(":")[0]) == (422, "load")
    assert [report.tags["stage"] for report in reports.of("model.deployment_failed")] == ["load"]
    line = one_registry.http.get("/models/ranker/deployments").json()["deployments"][0]
    assert (line["state"], line["failed_stage"]) == ("failed", "load")
    assert sandbox.template_pid is not None


def _expanding(folder: Path) -> Path:
    """Write a bundle of a few kilobytes whose catalogue takes gigabytes."""
    made = tiny_bundle(folder / "expanding", size=SMALL)
    table = pq.read_table(made / "items.parquet")
    rows = 20_000
    columns = {name: table[name].take(pa.array([0] * rows)) for name in table.column_names}
    columns["dataset_id"] = pa.array(range(1, rows + 1), pa.int64())
    columns["title"] = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * 2**20]))
    pq.write_table(pa.table(columns), made / "items.parquet", use_dictionary=True)
    write_manifest(made, read_manifest(made))
    pack(made, folder / "expanding.tar.gz")
    return folder / "expanding.tar.gz"


def test_an_outcome_is_remembered_by_content_and_a_death_is_not(
    one_registry: RunningRegistry, tmp_path: Path, sandbox: Sandbox
) -> None:
    version = one_registry.push_new(tmp_path, seed=1)
    template = sandbox.template_pid
    assert template is not None
    before = _children_cpu(template)
    for _ in range(3):
        assert one_registry.deploy(version).status_code == 201
    assert _children_cpu(template) == before


def _children_cpu(pid: int) -> int:
    """Return the CPU time of a process's ended children, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[13]) + int(fields[14])


def _check(folder: Path, limits: Limits) -> list[dict[str, object]]:
    """Check a small bundle within limits; return the messages."""
    box = Sandbox(WORK, limits)
    archive = tiny_archive(folder / "a.tar.gz", size=SMALL)
    messages: list[dict[str, object]] = []
    try:
        arguments = {"job": "bundle", "archive": str(archive), "folder": str(folder / "contents")}
        box.run(arguments, folder / "log", lambda message: messages.append(dict(message)))
    finally:
        box.close()
    return messages


def test_a_check_that_takes_too_long_ends(tmp_path: Path) -> None:
    with pytest.raises(WorkDiedError, match="ended after 0 s"):
        _check(tmp_path, Limits(wall_seconds=0.0))


def test_a_check_that_writes_too_much_fails(tmp_path: Path) -> None:
    assert "File too large" in str(_check(tmp_path, Limits(file_bytes=1000))[-1]["unavailable"])


def test_a_check_that_needs_too_much_memory_fails(tmp_path: Path) -> None:
    try:
        refusal: object = _check(tmp_path, Limits(spare_bytes=2**16))[-1]["refusal"]
    except WorkDiedError as error:
        refusal = str(error)
    assert refusal


def test_a_template_that_ended_is_started_again(tmp_path: Path) -> None:
    box = Sandbox(WORK)
    arguments = {
        "job": "bundle",
        "archive": str(tiny_archive(tmp_path / "a.tar.gz", size=SMALL)),
        "folder": str(tmp_path / "contents"),
    }
    try:
        box.start()
        first = box.template_pid
        assert first is not None
        os.kill(first, 9)
        messages: list[dict[str, object]] = []
        while not messages:
            try:
                box.run(arguments, tmp_path / "log", lambda message: messages.append(dict(message)))
            except SandboxUnavailableError:
                continue
        assert box.template_pid != first
        assert messages[-1] == {"refusal": None}
    finally:
        box.close()


def test_a_check_whose_process_is_killed_says_by_what(tmp_path: Path, sandbox: Sandbox) -> None:
    archive = tiny_archive(tmp_path / "a.tar.gz")

    def kill(_message: object) -> None:
        for child in Path(f"/proc/{sandbox.template_pid}/task/{sandbox.template_pid}/children").read_text().split():
            os.kill(int(child), signal.SIGABRT)

    def check_until_killed() -> None:
        for number in itertools.count():
            # It may have ended before it was killed.
            with suppress(ProcessLookupError):
                arguments = {"job": "bundle", "archive": str(archive), "folder": str(tmp_path / f"contents-{number}")}
                sandbox.run(arguments, tmp_path / "log", kill)

    with pytest.raises(WorkDiedError, match="ended by SIGABRT"):
        check_until_killed()


def test_the_processes_end_with_the_service(tmp_path: Path) -> None:
    box = Sandbox(WORK)
    arguments = {
        "job": "bundle",
        "archive": str(tiny_archive(tmp_path / "a.tar.gz", size=SMALL)),
        "folder": str(tmp_path / "contents"),
    }
    box.run(arguments, tmp_path / "log", lambda _: None)
    pid = box.template_pid
    box.close()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), within=60, what="the template ends")


def test_more_than_ten_waiting_callers_get_a_503() -> None:
    slots, release = Slots(1, waiting=2), threading.Event()

    def hold() -> None:
        with slots.slot():
            release.wait(30)

    threads = [threading.Thread(target=hold) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: slots.in_flight == 3, within=60, what="the queue is full")
    with pytest.raises(BusyError, match="try again later"), slots.slot():
        pass
    assert (BusyError.status, BusyError.retry_after) == (503, 10)
    release.set()
    for thread in threads:
        thread.join()
    with slots.slot():
        assert slots.in_flight == 1


def test_callers_beyond_the_queue_get_a_503_with_retry_after_and_no_failed_deployment(
    one_registry: RunningRegistry, tmp_path: Path
) -> None:
    archives = [tiny_archive(tmp_path / f"{seed}.tar.gz", seed=seed, size=SMALL) for seed in range(30)]
    with ThreadPoolExecutor(len(archives)) as callers:
        answers = list(callers.map(one_registry.push, archives))
    busy = [answer for answer in answers if answer.status_code == 503]
    assert busy
    assert {answer.headers["retry-after"] for answer in busy} == {"10"}
    assert {answer.status_code for answer in answers} == {201, 503}, [answer.text for answer in answers]
    rejected = archives[answers.index(busy[0])]
    assert one_registry.push(rejected).status_code == 201
    assert one_registry.http.get("/models/ranker/deployments").json()["deployments"] == []


def test_a_version_of_the_release_before_is_checked_again_after_the_migration(tmp_path: Path, sandbox: Sandbox) -> None:
    settings = Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"), artifact_url=str(tmp_path / "artifacts")
    )
    with RunningRegistry(settings, sandbox) as registry:
        versions = [registry.push_new(tmp_path, seed=seed) for seed in (1, 2)]
        for version in versions:
            assert registry.deploy(version).status_code == 201
    (stored,) = tmp_path.glob("recsys.db*registry*")
    engine = sa.create_engine(f"sqlite:///{stored}")
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE checks"))
        connection.execute(sa.text("DROP TABLE audit_log"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0002'"))
    engine.dispose()
    with RunningRegistry(settings, sandbox) as registry:
        assert registry.active() == versions[1]
        assert registry.http.post("/models/ranker/rollback").json()["version"] == versions[0]


def test_what_killed_processes_left_is_removed_and_what_others_use_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    living = Scratch()
    with living.folder("upload") as used:
        left = next(tmp_path.glob("recsys-registry-*")) / "killed"
        (left / "upload-1").mkdir(parents=True)
        assert Scratch().collect() == 1
        assert (used.is_dir(), left.exists()) == (True, False)
    living.close()
    assert [path.name for path in tmp_path.rglob("*") if not path.is_dir()] == ["lock"]


def test_an_unfinished_upload_of_a_killed_process_is_removed_at_the_next_start(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    partial = tmp_path / "artifacts" / "models" / "ranker" / f"{'0' * 64}.tar.gz.1.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"half")
    settings = Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"), artifact_url=str(tmp_path / "artifacts")
    )
    with RunningRegistry(settings, sandbox) as registry:
        assert registry.http.get("/health").status_code == 200
        assert not partial.exists()
        archive = tiny_archive(tmp_path / "a.tar.gz", size=SMALL)
        registry.push(archive)
    assert [path.name for path in partial.parent.iterdir()] == [f"{sha256_of(archive)}.tar.gz"]
