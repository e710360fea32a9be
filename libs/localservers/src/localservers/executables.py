"""Finds the programs that don't come from PyPI."""

import os
import shutil
from pathlib import Path

_POSTGRES_HOMES = Path("/usr/lib/postgresql")


class MissingProgramError(RuntimeError):
    """A program is missing and could not be installed; the message says what to install."""


def redis_server() -> Path | None:
    """Return the path of redis-server, or None."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


def postgres_bin() -> Path | None:
    """Return the folder of the newest PostgreSQL server's programs, or None."""
    homes = [path.parent for path in _POSTGRES_HOMES.glob("*/bin/initdb")]
    if homes:
        return max(homes, key=lambda home: int(home.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def mariadb_server() -> Path | None:
    """Return the path of MariaDB's server, or None; only tests need it."""
    # Debian keeps it out of the search path of ordinary users.
    found = shutil.which("mariadbd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    return Path(found) if found else None


def alertmanager() -> Path | None:
    """Return the path of Prometheus' Alertmanager, or None; only a proof needs it."""
    # Debian has another name for it than its authors.
    found = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    return Path(found) if found else None


def chromium() -> Path | None:
    """Return the path of Chromium, or None; only tests need it."""
    found = shutil.which("chromium")
    return Path(found) if found else None


def promtool() -> Path | None:
    """Return the path of Prometheus' rule checker, or None; only tests need it."""
    found = shutil.which("promtool")
    return Path(found) if found else None
