"""A MariaDB server in a temporary folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql

from localservers.executables import MissingProgramError, mariadb_server
from localservers.ports import Ports
from localservers.waiting import wait_until
from testkit.processes import ServerProcess

USER = "recsys"
PASSWORD = "only-for-tests"


@dataclass(frozen=True)
class MariadbServer:
    """A server on 127.0.0.1:`port`, with a user who has all permissions."""

    port: int

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def answers(self) -> bool:
        """Return whether the server accepts connections."""
        try:
            self.run("SELECT 1")
        except pymysql.OperationalError:
            return False
        return True

    def run(self, *statements: str, database: str | None = None) -> list[tuple[object, ...]]:
        """Run statements, each committed, and return the rows of the last."""
        connection = pymysql.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, database=database, autocommit=True
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


@contextmanager
def running_mariadb() -> Iterator[MariadbServer]:
    """Run a server on a free port for the length of a block; as root it runs as the user `nobody`."""
    program = mariadb_server()
    if program is None:
        raise MissingProgramError("MariaDB's server is missing: apt-get install mariadb-server-core")
    user = "nobody" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="recsys-mariadb-"))
    try:
        home.chmod(0o755)
        if user:
            shutil.chown(home, user)
        _create(program, home / "data", user)
        server = MariadbServer(Ports.free().postgres)
        process = ServerProcess(_command(program, home, server.port), home / "server.log", user=user, cwd="/")
        try:
            wait_until(lambda: process.check_alive() and server.answers(), within=60, what="MariaDB answers")
            yield server
        finally:
            process.end()
    finally:
        shutil.rmtree(home)


def _create(program: Path, data: Path, user: str | None) -> None:
    """Create a data folder as mariadb-install-db does, which needs more packages than the server's."""
    scripts = (Path("/usr/share/mysql") / f"mysql_system_tables{part}.sql" for part in ("", "_data"))
    grant = f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' WITH GRANT OPTION;"
    statements = [
        "CREATE DATABASE mysql;",
        "USE mysql;",
        "SET @auth_root_socket = NULL;",
        *(script.read_text(encoding="utf-8") for script in scripts),
        "FLUSH PRIVILEGES;",
        grant,
    ]
    data.mkdir()
    if user:
        shutil.chown(data, user)
    done = subprocess.run(
        [str(program), "--no-defaults", f"--datadir={data}", "--bootstrap", "--innodb-buffer-pool-size=32M"],
        input="\n".join(statements),
        user=user,
        cwd="/",
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise MissingProgramError(f"mariadbd --bootstrap failed: {done.stderr.strip()[-500:]}")


def _command(program: Path, home: Path, port: int) -> list[str]:
    options = {
        "datadir": home / "data",
        "socket": home / "server.sock",
        "pid-file": home / "server.pid",
        "bind-address": "127.0.0.1",
        "port": port,
        "skip-name-resolve": "ON",
        "secure-file-priv": home,
        # For tests: small, and without waiting for the disk.
        "innodb-buffer-pool-size": "32M",
        "innodb-flush-log-at-trx-commit": 0,
        "performance-schema": "OFF",
    }
    return [str(program), "--no-defaults", *(f"--{name}={value}" for name, value in options.items())]
