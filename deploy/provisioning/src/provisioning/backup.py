"""Backs up and restores what a stack can't make again: databases, artifacts, generated secrets and the alert policy.

A backup is a folder: a dump of each database, `artifacts.tar`, `settings.env`, `alerts.yaml` and `SHA256SUMS`. Redis is
not in it, because a sync fills it, and neither are Airflow's and the collector's databases.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provisioning import environment_file
from provisioning.generated import STACK
from provisioning.variables import DATABASE_USER

DATABASES = ("recsys", "business")
_SUMS, _ARTIFACTS, _SETTINGS, _POLICY = "SHA256SUMS", "artifacts.tar", "settings.env", "alerts.yaml"
_UNFINISHED = ".unfinished"
# tar's code for files that changed while it read them: the next training writes beside it, bundles never change.
_CHANGED = 1
_SECONDS = 6 * 3600
_SPECIAL_BITS = 0o6000
_PASSWORD = "POSTGRES_PASSWORD"  # noqa: S105 - the name of a setting
# Beside the artifacts, so that what is complete is moved to them in one step.
_STAGING = ".restored"
_UNPACK = f"rm -rf {_STAGING} && mkdir {_STAGING} && exec tar -C {_STAGING} --no-same-owner --no-same-permissions -xf -"
_DISCARD = f"rm -rf {_STAGING}"
_ADD = f"""cd {_STAGING} && find . -type d -exec sh -c 'for each; do mkdir -p "../$each" || exit; done' sh {{}} + &&
find . -type f -exec sh -c 'for each; do mv -f "$each" "../$each" || exit; done' sh {{}} + && cd .. && {_DISCARD}"""
_NEEDED = """SELECT 'models/' || model || '/' || sha256 || '.tar.gz' FROM registry.versions WHERE removed_at IS NULL"""
_HAS_VERSIONS = "SELECT to_regclass('registry.versions') IS NOT NULL"


class BackupError(RuntimeError):
    """The backup or the restore was not done; nothing was replaced, unless the message says to repeat the restore."""


@dataclass(frozen=True)
class Stores:
    """How the data of a stack is reached.

    `postgres` gives the beginning of the command line of one of PostgreSQL's programs, `shell` that of a shell command
    in the folder of the artifacts; it is None if they are in a bucket. `environment` is added to that of both.
    """

    postgres: Callable[[str], list[str]]
    shell: list[str] | None
    read_settings: Callable[[], Mapping[str, str]]
    write_settings: Callable[[Mapping[str, str]], None]
    policy: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, command: list[str], *, given: Path | str = "", output: Path | None = None, passing: tuple[int, ...] = (0,)
    ) -> str:
        """Run a command with a file or a text as its input; return what it printed. Raises `BackupError`."""
        with ExitStack() as opened:
            given_as: dict[str, Any] = {}
            if isinstance(given, Path):
                given_as["stdin"] = opened.enter_context(given.open("rb"))
            else:
                given_as["input"] = given.encode()
            target = opened.enter_context(output.open("wb")) if output else subprocess.PIPE
            try:
                done = subprocess.run(  # noqa: S603 - the commands are those of this module
                    command,
                    **given_as,
                    stdout=target,
                    stderr=subprocess.PIPE,
                    env=dict(os.environ) | dict(self.environment),
                    timeout=_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise BackupError(f"{command[0]}: {error}") from error
        if done.returncode not in passing:
            reason = done.stderr.decode(errors="replace").strip()[-500:]
            raise BackupError(f"{Path(command[0]).name} failed: {reason or f'exit code {done.returncode}'}")
        return (done.stdout or b"").decode()

    def query(self, database: str, sql: str) -> list[str]:
        """Return the lines that SQL answers; it is given on stdin, so that no secret is in a list of processes."""
        psql = [
            *self.postgres("psql"),
            "--quiet",
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
        ]
        return self.run([*psql, "--dbname", database], given=sql).splitlines()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM raise `KeyboardInterrupt`, so that what is unfinished is removed; in the main thread."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@_terminated_as_interrupted()
def back_up(stores: Stores, into: Path, now: datetime) -> Path:
    """Make a backup in a new folder below `into`, and return it; the stack may run. Raises `BackupError`.

    The databases are dumped before the artifacts are read. So each bundle that the registry's dump names is among them.
    """
    folder = into / f"recsys-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    working = folder.with_name(folder.name + _UNFINISHED)
    _make_folder(into, folder, working)
    try:
        needed = _needed_bundles(stores)
        for database in DATABASES:
            stores.run(
                [*stores.postgres("pg_dump"), "--format=custom", "--no-owner", "--dbname", database],
                output=working / f"{database}.dump",
            )
        if stores.shell is not None:
            archive = working / _ARTIFACTS
            pack = f"exec tar --hard-dereference --exclude=./{_STAGING} -cf - ."
            stores.run([*stores.shell, pack], output=archive, passing=(0, _CHANGED))
            _check_bundles(_archived(archive), needed)
        environment_file.write(working / _SETTINGS, environment_file.render(stores.read_settings()))
        shutil.copyfile(stores.policy, working / _POLICY)
        sums = [f"{_sha256(path)}  {path.name}\n" for path in sorted(working.iterdir())]
        (working / _SUMS).write_text("".join(sums), encoding="ascii")
        for path in working.iterdir():
            path.chmod(0o600)
            _sync(path)
        working.rename(folder)
    except OSError as error:
        raise BackupError(str(error)) from error
    finally:
        # It has another name if the backup is complete.
        shutil.rmtree(working, ignore_errors=True)
    return folder


def _make_folder(into: Path, folder: Path, working: Path) -> None:
    try:
        into.mkdir(parents=True, exist_ok=True, mode=0o700)
        working.mkdir(mode=0o700)
        is_new = not folder.exists()
    except OSError as error:
        if isinstance(error, FileExistsError) and into.is_dir():
            raise BackupError(f"{folder}: another backup of this second is being made; repeat it") from error
        raise BackupError(f"{into}: not a folder that can be written: {error.strerror}") from error
    if not is_new:
        working.rmdir()
        raise BackupError(f"{folder}: there is a backup of this second already; repeat it")


@_terminated_as_interrupted()
def restore(stores: Stores, folder: Path) -> None:
    """Replace a stack's data by that of a backup; only PostgreSQL runs meanwhile. Raises `BackupError`.

    Every file is checked, and everything is filled beside what is there, before anything is replaced. Artifacts are
    added: others stay. The stack keeps its own password of PostgreSQL, so a restore that was stopped can be repeated.
    """
    try:
        _check_files(stores, folder)
    except OSError as error:
        raise BackupError(f"{folder}: {error}; nothing was changed") from error
    restored = environment_file.read(folder / _SETTINGS)
    settings = {name: value for name, value in restored.items() if name in STACK}
    password = stores.read_settings().get(_PASSWORD) or settings.get(_PASSWORD, "")
    if not password.isascii() or not password.isalnum():
        raise BackupError(f"{folder / _SETTINGS}: {_PASSWORD} is missing")
    with _beside(stores):
        for database in DATABASES:
            stores.query("postgres", f'{_drop(_beside_of(database))}CREATE DATABASE "{_beside_of(database)}"')
            load = [*stores.postgres("pg_restore"), "--no-owner", "--exit-on-error", "--single-transaction"]
            stores.run([*load, "--dbname", _beside_of(database)], given=folder / f"{database}.dump")
        if stores.shell is not None:
            stores.run([*stores.shell, _UNPACK], given=folder / _ARTIFACTS)
    try:
        if stores.shell is not None:
            stores.run([*stores.shell, _ADD])
        for database in DATABASES:
            rename = f'ALTER DATABASE "{_beside_of(database)}" RENAME TO "{database}"'
            stores.query("postgres", _drop(database) + rename)
        stores.write_settings({**settings, _PASSWORD: password})
        stores.query("postgres", f"ALTER ROLE {DATABASE_USER} PASSWORD '{password}'")
    except (OSError, BackupError) as error:
        raise BackupError(f"{error}; a part was replaced: run the same restore again") from error


@contextmanager
def _beside(stores: Stores) -> Iterator[None]:
    """Remove what a block has filled beside the present data if it fails or is interrupted."""
    try:
        yield
    except BaseException:
        # The first failure says what is wrong.
        with suppress(BackupError):
            stores.query("postgres", "".join(_drop(_beside_of(database)) for database in DATABASES))
        if stores.shell is not None:
            with suppress(BackupError):
                stores.run([*stores.shell, _DISCARD])
        raise


def _beside_of(database: str) -> str:
    return f"{database}_restored"


def _drop(database: str) -> str:
    return f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE);\n'


def _needed_bundles(stores: Stores) -> set[str]:
    if stores.query("recsys", _HAS_VERSIONS) != ["t"]:
        return set()
    return set(stores.query("recsys", _NEEDED))


def _archived(archive: Path) -> set[str]:
    """Return the names in an archive of artifacts; raises `BackupError` unless it has files and folders only."""
    try:
        with tarfile.open(archive, "r:") as content:
            members = content.getmembers()
    except tarfile.TarError as error:
        raise BackupError(f"{archive}: not a complete archive: {error}") from error
    for member in members:
        if not (member.isdir() or (member.isreg() and not member.mode & _SPECIAL_BITS)):
            raise BackupError(f"{archive}: {member.name}: neither a folder nor a plain file")
        if member.name.startswith("/") or ".." in member.name.split("/"):
            raise BackupError(f"{archive}: {member.name}: outside of the folder of artifacts")
    return {member.name.removeprefix("./") for member in members}


def _check_bundles(archived: set[str], needed: set[str]) -> None:
    missing = needed - archived
    if missing:
        raise BackupError(
            f"{min(missing)}: the registry has this version, but the artifact store lacks its bundle. Push it again; "
            "if retention has just removed it, make the backup again"
        )


def _check_files(stores: Stores, folder: Path) -> None:
    _check_sums(folder, {_ARTIFACTS} if stores.shell is not None else set())
    for database in DATABASES:
        path = folder / f"{database}.dump"
        described = stores.run([*stores.postgres("pg_restore"), "--list"], given=path).splitlines()
        if not any(line.startswith(";") and line.split() == [";", "dbname:", database] for line in described):
            raise BackupError(f"{path}: not a dump of the database {database}; nothing was changed")
    if stores.shell is not None:
        _archived(folder / _ARTIFACTS)


def _check_sums(folder: Path, more: set[str]) -> None:
    try:
        lines = (folder / _SUMS).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeError) as error:
        raise BackupError(f"{folder}: not a finished backup ({_SUMS} is missing)") from error
    expected = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
    required = {f"{database}.dump" for database in DATABASES} | {_SETTINGS, _POLICY} | more
    for name in sorted(required | expected.keys()):
        path = folder / name
        if not path.is_file() or _sha256(path) != expected.get(name):
            raise BackupError(f"{path}: missing, damaged or not in {_SUMS}; nothing was changed")


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())
