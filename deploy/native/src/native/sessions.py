"""The process session of a stack's supervisor: its members, and whether it is still the same one."""

import json
import os
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_TIME_FIELD = 19  # of /proc/<pid>/stat, counted after the command's name


def remember(pid: int, file: Path) -> None:
    """Store the id of the session that `pid` leads."""
    file.write_text(json.dumps({"pid": pid, "started": _start_time(pid), "boot": _boot()}), encoding="utf-8")


def members(file: Path) -> list[int]:
    """Return the living processes of the session stored in `file`, including its leader."""
    session = _read_session_id(file)
    return [] if session is None else [pid for pid in _processes() if _session(pid) == session]


def leads(file: Path) -> bool:
    """Return whether the session's leader is alive."""
    session = _read_session_id(file)
    return session is not None and _session(session) == session


def _read_session_id(file: Path) -> int | None:
    """Return the session's id, or None if there is none or the id now belongs to another process."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if known["boot"] != _boot() or _start_time(known["pid"]) not in (None, known["started"]):
        return None
    return int(known["pid"])


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _session(pid: int) -> int | None:
    try:
        return None if _is_zombie(pid) else os.getsid(pid)
    except (ProcessLookupError, FileNotFoundError):
        return None


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[0] == "Z"


def _start_time(pid: int) -> int | None:
    try:
        return int(_stat(pid)[_START_TIME_FIELD])
    except (ProcessLookupError, FileNotFoundError):
        return None


def _stat(pid: int) -> list[str]:
    # The command's name is in parentheses and may contain any character.
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def _boot() -> str:
    return _BOOT_ID.read_text(encoding="utf-8").strip()
