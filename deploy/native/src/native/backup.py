"""`make backup` and `make restore` of a native stack."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from localservers import executables
from localservers.executables import MissingProgramError
from localservers.postgres import PostgresCluster
from localservers.waiting import wait_until
from native import prerequisites
from native.stack import Stack, StartError
from provisioning import environment_file
from provisioning.backup import DATABASES, Stores, back_up, restore
from provisioning.generated import STACK
from provisioning.variables import DATABASE_USER

_START_SECONDS = 30
_STOP_SECONDS = 60


def stores_of(cluster: PostgresCluster, artifacts: str, settings: Path, policy: Path) -> Stores:
    """Return the stores of a stack whose generated values are in the file `settings`."""
    programs = executables.postgres_bin()
    if programs is None:
        raise MissingProgramError("PostgreSQL's programs are missing: make up STACK=native installs them")

    def postgres(program: str) -> list[str]:
        address = ["--host", "127.0.0.1", "--port", str(cluster.port), "--username", DATABASE_USER, "--no-password"]
        return [str(programs / program), *address]

    def read_settings() -> Mapping[str, str]:
        return {name: value for name, value in environment_file.read(settings).items() if name in STACK}

    def write_settings(restored: Mapping[str, str]) -> None:
        environment_file.write(settings, environment_file.render({**environment_file.read(settings), **restored}))

    is_bucket = "://" in artifacts
    return Stores(
        postgres,
        None if is_bucket else ["sh", "-c", 'cd "$0" && eval "$1"', artifacts],
        read_settings,
        write_settings,
        policy,
        {"PGPASSWORD": cluster.password},
    )


def make_backup(stack: Stack, into: Path) -> Path:
    """Back up a stack that runs; raises `BackupError` and `StartError`."""
    if not stack.supervisor.runs():
        raise StartError("the stack does not run: make up")
    return back_up(_stores(stack), into, datetime.now(UTC))


def restore_backup(stack: Stack, folder: Path) -> None:
    """Replace the data of a stack that is down; raises `BackupError` and `StartError`."""
    if stack.supervisor.runs():
        raise StartError("the stack runs: make down first")
    prerequisites.ensure(stack.say)
    environment = stack.environment
    environment.write()
    environment.postgres.create()
    stack.config.run.joinpath("artifacts").mkdir(parents=True, exist_ok=True)
    with _running(environment.postgres):
        restore(_stores(stack), folder)


def _stores(stack: Stack) -> Stores:
    environment = stack.environment
    artifacts = environment.variables()["ARTIFACT_URL"]
    policy = stack.config.root / "deploy" / "alerts.yaml"
    return stores_of(environment.postgres, artifacts, stack.config.environment_file, policy)


@contextmanager
def _running(cluster: PostgresCluster) -> Iterator[None]:
    with subprocess.Popen(
        cluster.command(), user=cluster.user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            wait_until(cluster.answers, within=_START_SECONDS, what="PostgreSQL answers")
            for database in DATABASES:
                cluster.ensure_database(database)
            yield
        finally:
            server.terminate()
            server.wait(_STOP_SECONDS)
