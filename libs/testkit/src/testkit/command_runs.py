"""Runs of a command-line tool as a user starts it, and the rules for all of them."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from contracts.command_line import EXIT_CODES, FAULT

_OURS = ("_URL", "_TOKEN", "_DSN", "_DIR", "_proxy", "_PROXY")


def run_module(
    module: str, arguments: Sequence[str | bytes], environment: Mapping[str, str] | Mapping[bytes, bytes] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run `python -m module` without the caller's addresses and tokens."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(_OURS)}
    given = {os.fsencode(name): os.fsencode(value) for name, value in (environment or {}).items()}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={os.fsencode(name): os.fsencode(value) for name, value in kept.items()} | given,
        capture_output=True,
        timeout=60,
        check=False,
    )


def assert_civil(ran: subprocess.CompletedProcess[bytes], *secrets: str) -> None:
    """Check that a run ended correctly: a documented exit code, no traceback, no secret in its output."""
    printed = (ran.stdout + ran.stderr).decode(errors="replace")
    assert ran.returncode in EXIT_CODES - {FAULT}, (ran.returncode, printed)
    assert "Traceback" not in printed
    assert "Exception ignored" not in printed
    for secret in secrets:
        assert secret not in printed
