"""What a sandboxed process may use."""

import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
# Answers have priority over a check: at this niceness, processes yield the CPU as soon as an answer needs it.
NICENESS = 10


@dataclass(frozen=True)
class Limits:
    """The bounds of one process; memory is counted from what it has when it is forked."""

    cpu_seconds: int = 60
    wall_seconds: float = 120.0
    spare_bytes: int = GIB
    file_bytes: int = 8 * GIB


def apply(limits: Limits) -> None:
    """Limit this process, before it reads anything: CPU, file size, no core dump; `allow_memory` limits memory."""
    # When memory runs out, the kernel kills this process, and not the service. Not every system lets it be said.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    # A second signal follows if the first one is caught.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))


def allow_memory(more: int, *, data: int) -> None:
    """Let this process's own memory grow to `more` bytes above `data`."""
    resource.setrlimit(resource.RLIMIT_DATA, (data + more, resource.RLIM_INFINITY))


def own_data() -> int:
    """Return the bytes that count for RLIMIT_DATA."""
    return _status(Path("/proc/self/status"), "VmData")


def resident(pid: int) -> int:
    """Return the resident bytes of a process, 0 if it has ended."""
    try:
        return _status(Path(f"/proc/{pid}/status"), "VmRSS")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _status(path: Path, name: str) -> int:
    found = (line.split() for line in path.read_text(encoding="ascii", errors="replace").splitlines())
    return next((int(words[1]) * 1024 for words in found if words[0] == f"{name}:"), 0)
