"""The programs that don't come from PyPI: found, or installed by apt."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POSTGRES_HOMES = Path("/usr/lib/postgresql")
_POLICY = Path("/usr/sbin/policy-rc.d")


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
    # Debian calls it by another name than its makers.
    found = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    return Path(found) if found else None


def chromium() -> Path | None:
    """Return the path of Chromium, or None; only tests need it."""
    found = shutil.which("chromium")
    return Path(found) if found else None


def promtool() -> Path | None:
    """Return the path of Prometheus' own checker of rules, or None; only tests need it."""
    found = shutil.which("promtool")
    return Path(found) if found else None


def _chinese_font() -> Path | None:
    """Return a font in which a browser can show Chinese, or None."""
    return next(Path("/usr/share/fonts").glob("**/*[Cc][Jj][Kk]*"), None) or next(
        Path("/usr/share/fonts").glob("**/wqy-*"), None
    )


def ensure(say: Callable[[str], None], *, for_tests: bool = False) -> None:
    """Install what is missing, for tests a browser, MariaDB, Prometheus and Alertmanager too.

    Raises `MissingProgramError` when that can't be done here.
    """
    wanted_programs = [("redis-server", redis_server()), ("postgresql", postgres_bin())]
    if for_tests:
        wanted_programs += [
            ("chromium", chromium()),
            ("fonts-wqy-microhei", _chinese_font()),
            ("mariadb-server-core", mariadb_server()),
            ("prometheus", promtool()),
            ("prometheus-alertmanager", alertmanager()),
        ]
    missing = [package for package, found in wanted_programs if found is None]
    if not missing:
        return
    wanted = " ".join(missing)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingProgramError(f"install {wanted} first, for example: sudo apt-get install {wanted}")
    say(f"installing {wanted} by apt")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_service_starts():
        for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
            done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise MissingProgramError(f"apt-get {arguments[0]} failed: {done.stderr.strip()[-500:]}")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep Debian from starting the installed servers on their own ports; ours run beside nobody's."""
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink()
