"""A private PostgreSQL cluster: created here, started by a supervisor, with its own databases."""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from localservers import executables
from localservers.executables import MissingProgramError

SUPERUSER = "recsys"
CONNECT_TIMEOUT_SECONDS = 3


@dataclass(frozen=True)
class PostgresCluster:
    """A cluster in `data` (0700) that listens on 127.0.0.1:`port`; as root it runs as the user `postgres`."""

    data: Path
    port: int
    password: str
    durable: bool = True

    @property
    def user(self) -> str | None:
        """The system user that the server has to run as, or None for the current one."""
        return "postgres" if os.geteuid() == 0 else None

    def create(self) -> None:
        """Create the cluster if it doesn't exist."""
        if (self.data / "PG_VERSION").exists():
            return
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.data, owner.pw_uid, owner.pw_gid)
        with tempfile.NamedTemporaryFile("w", suffix=".pw") as secret:
            secret.write(self.password)
            secret.flush()
            if self.user:
                shutil.chown(secret.name, self.user)
            self._run(
                *("initdb", "--pgdata", str(self.data), "--username", SUPERUSER, "--pwfile", secret.name),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
            )

    def command(self) -> list[str]:
        """Return the server's command line; it stays in the foreground."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 100,
            "fsync": "on" if self.durable else "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(_bin() / "postgres"), "-D", str(self.data), *options]

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg2://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def answers(self) -> bool:
        """Return whether the server accepts connections."""
        try:
            self._connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def ensure_database(self, name: str) -> None:
        """Create a database if it doesn't exist; `name` is a plain identifier."""
        connection = self._connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(f'CREATE DATABASE "{name}"')
        finally:
            connection.close()

    def drop_database(self, name: str) -> None:
        """Drop a database and close its connections."""
        connection = self._connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        finally:
            connection.close()

    def _connect(self) -> "psycopg2.extensions.connection":
        return psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user=SUPERUSER,
            password=self.password,
            dbname="postgres",
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
        )

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(_bin() / program), *arguments]
        done = subprocess.run(
            command, user=self.user, cwd="/", capture_output=True, text=True, check=False, env={"PATH": os.defpath}
        )
        if done.returncode:
            raise MissingProgramError(f"{program} failed: {done.stderr.strip()[-500:]}")


def _bin() -> Path:
    found = executables.postgres_bin()
    if found is None:
        raise MissingProgramError("PostgreSQL's server programs are missing: apt-get install postgresql")
    return found
