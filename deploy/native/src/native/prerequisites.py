"""Installs the programs that don't come from PyPI by apt, if they are missing."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from localservers import executables
from localservers.executables import MissingProgramError

_POLICY = Path("/usr/sbin/policy-rc.d")


def _chinese_font() -> Path | None:
    """Return a font for Chinese text in a browser, or None."""
    return next(Path("/usr/share/fonts").glob("**/*[Cc][Jj][Kk]*"), None) or next(
        Path("/usr/share/fonts").glob("**/wqy-*"), None
    )


def ensure(say: Callable[[str], None], *, for_tests: bool = False) -> None:
    """Install missing programs; for tests also a browser, MariaDB, Prometheus and Alertmanager.

    Raises `MissingProgramError` if that isn't possible here.
    """
    wanted_programs = [("redis-server", executables.redis_server()), ("postgresql", executables.postgres_bin())]
    if for_tests:
        wanted_programs += [
            ("chromium", executables.chromium()),
            ("fonts-wqy-microhei", _chinese_font()),
            ("mariadb-server-core", executables.mariadb_server()),
            ("prometheus", executables.promtool()),
            ("prometheus-alertmanager", executables.alertmanager()),
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
    """Prevent Debian from starting the installed servers on their default ports."""
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink()
