"""The drill: a stack is backed up while it runs, its data is lost, and the backup brings it back, tokens included."""

import dataclasses
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from localservers.executables import postgres_bin
from localservers.waiting import wait_until
from model_registry.bundle_checks.service import WORK
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from native.backup import stores_of
from provisioning import environment_file
from provisioning.backup import BackupError, Stores, back_up, restore
from provisioning.compose_backup import compose_stores
from running_registry import RunningRegistry
from testkit.postgres import PostgresServer, running_server

_POLICY = Path(__file__).parents[3] / "deploy" / "alerts.yaml"
_ADMIN = "the-first-admin"
_NOW = datetime(2026, 11, 24, 3, 10, tzinfo=UTC)
# What `docker compose` does, on the folders and the PostgreSQL of the test.
_DOCKER = """#!/bin/sh
[ "$1" = compose ] || exit 9
shift
case "$1 $2 $3" in
"exec -T postgres") shift 3; program=$1; shift
  exec "{programs}/$program" --host 127.0.0.1 --port {port} --no-password "$@" ;;
"run --rm --no-deps") shift 3; [ "$1 $2" = "-T --entrypoint" ] || exit 8; shift 2; program=$1; service=$2; shift 2
  case "$program $service" in
  "sh model-registry") [ "$1 $3" = "-c /var/lib/artifacts" ] || exit 7
    exec sh -c "$2" "{folder}/artifacts" "$4" ;;
  "sh setup") exec sh -c "$(echo "$2" | sed 's|/programs/setup/env|{folder}/env|g')" ;;
  esac ;;
esac
exit 6
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(WORK)
    made.start()
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_server() as running:
        for database in ("recsys", "business"):
            running.cluster.ensure_database(database)
        yield running


@pytest.fixture(params=["native", "compose"])
def stores(
    request: pytest.FixtureRequest, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Stores:
    """The stores of a stack of either kind; the password of its PostgreSQL is not the one of its secrets."""
    (tmp_path / "artifacts").mkdir()
    settings = tmp_path / "env"
    settings.write_text("POSTGRES_PASSWORD=0123abcd\nREGISTRY_TOKEN=the-first-admin\nFORGET_SECRET='a b'\n")
    if request.param == "native":
        return stores_of(server.cluster, str(tmp_path / "artifacts"), settings, _POLICY)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(_DOCKER.format(programs=postgres_bin(), port=server.cluster.port, folder=tmp_path))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PGPASSWORD", server.cluster.password)
    return compose_stores()


def registry_of(url: str, folder: Path, sandbox: Sandbox) -> RunningRegistry:
    settings = Settings(
        environment="production",
        database_url=SecretStr(url),
        artifact_url=str(folder / "artifacts"),
        registry_token=SecretStr(_ADMIN),
    )
    return RunningRegistry(settings, sandbox)


@contextmanager
def orders_written(url: str) -> Iterator[None]:
    """Write two rows in each transaction for the length of a block: a consistent copy has as many of both."""
    engine, stopping = create_engine(url), threading.Event()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id serial)"))
        connection.execute(text("CREATE TABLE receipts (id serial)"))

    def write() -> None:
        while not stopping.wait(0.001):
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO orders DEFAULT VALUES"))
                connection.execute(text("INSERT INTO receipts DEFAULT VALUES"))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        engine.dispose()


def counts(url: str) -> tuple[int, int]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [
            connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in ("orders", "receipts")
        ]
    engine.dispose()
    return found[0], found[1]


def test_what_was_lost_is_back_with_its_tokens_and_its_models(
    stores: Stores, server: PostgresServer, tmp_path: Path, sandbox: Sandbox
) -> None:
    recsys, business = server.cluster.url("recsys"), server.cluster.url("business")
    with registry_of(recsys, tmp_path, sandbox) as registry, orders_written(business):
        registry.deploy(registry.push_new(tmp_path, seed=1)).raise_for_status()
        secret = registry.http.post("/tokens", json={"name": "li.wei", "role": "reader"}).json()["token"]
        folder = back_up(stores, tmp_path / "backups", _NOW)
        registry.http.delete("/tokens/li.wei").raise_for_status()
        registry.deploy(registry.push_new(tmp_path, seed=2), force=True, reason="drill").raise_for_status()
    before = counts(business)

    damaged = shutil.copytree(folder, tmp_path / "damaged")
    dump = (damaged / "recsys.dump").read_bytes()
    (damaged / "recsys.dump").write_bytes(dump[:-1])
    with pytest.raises(BackupError, match=r"recsys\.dump: missing, damaged or not in SHA256SUMS; nothing was changed"):
        restore(stores, damaged)
    assert counts(business) == before

    for database in ("recsys", "business"):
        server.cluster.drop_database(database)
        server.cluster.ensure_database(database)
    shutil.rmtree(tmp_path / "artifacts")
    (tmp_path / "artifacts").mkdir()
    environment_file.write(tmp_path / "env", "POSTGRES_PASSWORD=other\nREGISTRY_TOKEN=other\n")
    restore(stores, folder)

    assert environment_file.read(tmp_path / "env") == {
        "POSTGRES_PASSWORD": "other",
        "REGISTRY_TOKEN": "the-first-admin",
        "FORGET_SECRET": "a b",
    }
    recsys, business = (url.replace(server.cluster.password, "other") for url in (recsys, business))
    orders, receipts = counts(business)
    assert 0 < orders == receipts < before[0]
    with registry_of(recsys, tmp_path, sandbox) as registry:
        assert registry.active() == "1"
        reader = {"Authorization": f"Bearer {secret}"}
        bundle = httpx.get(f"{registry.url}/models/ranker/versions/1/bundle", headers=reader)
        assert bundle.content == (tmp_path / "1.tar.gz").read_bytes()
        assert registry.push_new(tmp_path, seed=2) == "2"
        assert [each["token"] for each in registry.http.get("/audit").json()["entries"]] == ["REGISTRY_TOKEN"] * 4


def test_a_backup_that_fails_leaves_nothing_and_says_why(
    stores: Stores, server: PostgresServer, tmp_path: Path, sandbox: Sandbox
) -> None:
    """A bundle that the registry has and the store has lost would be missing after a restore."""
    with registry_of(server.cluster.url("recsys"), tmp_path, sandbox) as registry:
        version = registry.push_new(tmp_path, seed=1)
        registry.stored(version).unlink()
    with pytest.raises(BackupError, match="the artifact store lacks its bundle"):
        back_up(stores, tmp_path / "backups", _NOW)
    assert list((tmp_path / "backups").iterdir()) == []
    with pytest.raises(BackupError, match="not a finished backup"):
        restore(stores, tmp_path / "backups")


@pytest.fixture
def plain(server: PostgresServer, tmp_path: Path) -> Stores:
    """The stores of a native stack with two artifacts, and a table in each database."""
    (tmp_path / "artifacts" / "runs").mkdir(parents=True)
    (tmp_path / "artifacts" / "runs" / "1").write_text("first")
    (tmp_path / "artifacts" / "zeros").write_bytes(bytes(200_000))
    settings = tmp_path / "env"
    settings.write_text(f"POSTGRES_PASSWORD={server.cluster.password}\nREGISTRY_TOKEN=the-first-admin\n")
    made = stores_of(server.cluster, str(tmp_path / "artifacts"), settings, _POLICY)
    for database in ("recsys", "business"):
        made.query(database, f"CREATE TABLE of_{database} AS SELECT generate_series(1, 5000) AS number")
    return made


def state(stores: Stores, folder: Path) -> tuple[Any, ...]:
    """Return what a restore could change."""
    artifacts = {path: path.is_file() and path.read_bytes() for path in (folder / "artifacts").rglob("*")}
    databases = stores.query("postgres", "SELECT datname, oid FROM pg_database ORDER BY 1")
    return artifacts, databases, (folder / "env").read_text()


def seal(folder: Path) -> None:
    """Write the checksums anew, as somebody does who edits a backup."""
    paths = [path for path in sorted(folder.iterdir()) if path.name != "SHA256SUMS"]
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (folder / "SHA256SUMS").write_text("".join(sums))


def _without_artifacts(folder: Path) -> None:
    (folder / "artifacts.tar").unlink()
    seal(folder)


def _unlisted_artifacts(folder: Path) -> None:
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if "artifacts.tar" not in line))


def _swapped(folder: Path) -> None:
    (folder / "recsys.dump").rename(folder / "other")
    (folder / "business.dump").rename(folder / "recsys.dump")
    (folder / "other").rename(folder / "business.dump")
    seal(folder)


def _cut(name: str, size: int) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-size])
        seal(folder)

    return cut


def _archive_with(name: str, **more: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        member = tarfile.TarInfo(name)
        for key, value in more.items():
            setattr(member, key, value)
        with tarfile.open(folder / "artifacts.tar", "w") as archive:
            archive.addfile(member, io.BytesIO())
        seal(folder)

    return write


def test_a_restore_that_cannot_be_done_changes_nothing_and_leaves_nothing(plain: Stores, tmp_path: Path) -> None:
    folder = back_up(plain, tmp_path / "backups", _NOW)
    (tmp_path / "artifacts" / "runs" / "1").write_text("second")
    before = state(plain, tmp_path)
    cases: dict[str, tuple[Callable[[Path], None], str]] = {
        "no artifacts": (_without_artifacts, r"artifacts\.tar: missing"),
        "artifacts without a checksum": (_unlisted_artifacts, r"artifacts\.tar: .* not in SHA256SUMS"),
        "dumps swapped": (_swapped, r"recsys\.dump: not a dump of the database recsys"),
        "half a dump": (_cut("business.dump", 5000), "pg_restore failed"),
        "half an archive": (_cut("artifacts.tar", 100_000), "not a complete archive"),
        "a link": (_archive_with("link", type=tarfile.SYMTYPE, linkname="/etc"), "link: neither a folder nor"),
        "a file with rights": (_archive_with("runs/2", mode=0o4755), "runs/2: neither a folder nor"),
        "a file elsewhere": (_archive_with("../runs"), "outside of the folder"),
    }
    for name, (damage, reason) in cases.items():
        damaged = shutil.copytree(folder, tmp_path / name)
        damage(damaged)
        with pytest.raises(BackupError, match=reason):
            restore(plain, damaged)
        assert state(plain, tmp_path) == before, name

    # The disk is full after the first file.
    assert plain.shell is not None
    full = dataclasses.replace(plain, shell=["sh", "-c", f"ulimit -f 1; {plain.shell[2]}", plain.shell[3]])
    with pytest.raises(BackupError, match=r"exit code|failed"):
        restore(full, folder)
    assert state(plain, tmp_path) == before


def test_a_restore_that_was_stopped_can_be_repeated_and_writes_known_settings_only(
    plain: Stores, server: PostgresServer, tmp_path: Path
) -> None:
    folder = back_up(plain, tmp_path / "backups", _NOW)
    with (folder / "settings.env").open("a") as settings:
        settings.write("LD_PRELOAD=/tmp/x.so\nPATH=/tmp\nARTIFACT_URL=/etc\n")
    seal(folder)
    present = f"POSTGRES_PASSWORD={server.cluster.password}\nREGISTRY_TOKEN=other\n"
    (tmp_path / "env").write_text(present)
    plain.query("recsys", "DROP TABLE of_recsys")

    def write_and_stop(settings: Mapping[str, str]) -> None:
        plain.write_settings(settings)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(dataclasses.replace(plain, write_settings=write_and_stop), folder)
    (tmp_path / "artifacts" / "runs" / "1").unlink()
    restore(plain, folder)
    assert environment_file.read(tmp_path / "env") == {
        "POSTGRES_PASSWORD": server.cluster.password,
        "REGISTRY_TOKEN": "the-first-admin",
    }
    assert plain.query("recsys", "SELECT count(*) FROM of_recsys") == ["5000"]
    assert sorted(path.name for path in (tmp_path / "artifacts").rglob("*")) == ["1", "runs", "zeros"]


def test_a_backup_that_cannot_be_made_says_why_and_leaves_nothing(plain: Stores, tmp_path: Path) -> None:
    into = tmp_path / "backups"
    for below in (tmp_path / "env", tmp_path / "env" / "more"):
        with pytest.raises(BackupError, match=r"env.*: not a folder that can be written"):
            back_up(plain, below, _NOW)

    def stop() -> Mapping[str, str]:
        with pytest.raises(BackupError, match="another backup of this second is being made"):
            back_up(plain, into, _NOW)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(dataclasses.replace(plain, read_settings=stop), into, _NOW)
    assert list(into.iterdir()) == []
    folder = back_up(plain, into, _NOW)
    with pytest.raises(BackupError, match="there is a backup of this second already"):
        back_up(plain, into, _NOW)
    assert list(into.iterdir()) == [folder]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_backup_that_is_ended_by_a_signal_leaves_nothing_behind(tmp_path: Path, sent: signal.Signals) -> None:
    docker, dumping = tmp_path / "bin" / "docker", tmp_path / "dumping"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\ncase "$*" in *pg_dump*) touch {dumping}; exec sleep 600 ;; esac\n')
    docker.chmod(0o755)
    backups = tmp_path / "backups"
    # A shell lets programs in the background ignore SIGINT, and whatever they start.
    command = [
        "env",
        "--default-signal=INT",
        sys.executable,
        "-m",
        "provisioning.compose_backup",
        "backup",
        str(backups),
    ]
    path = f"{docker.parent}:{os.environ['PATH']}"
    with subprocess.Popen(command, env=os.environ | {"PATH": path}, stderr=subprocess.PIPE, text=True) as running:
        wait_until(dumping.exists, within=60, what="a database is dumped")
        assert [folder.suffix for folder in backups.iterdir()] == [".unfinished"]
        running.send_signal(sent)
        _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (130, "interrupted\n")
    assert list(backups.iterdir()) == []
