"""The memory that a container has left.

When a container's memory runs out, the kernel may end all of its processes, and not only the one that asked for more.
"""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
# For the service, while a check runs.
RESERVE_BYTES = 64 * 2**20
# Version 2 of cgroups, and version 1: limit, statistics, and what counts there as memory that can't be given back.
_FILES = (
    ("memory.max", "memory.stat", "anon"),
    ("memory/memory.limit_in_bytes", "memory/memory.stat", "total_rss"),
)


def memory_left(cgroup: Path = CGROUP) -> int | None:
    """Return how many bytes more may be used, None without a limit."""
    for limit_name, statistics_name, used_name in _FILES:
        try:
            limit = (cgroup / limit_name).read_text("ascii").strip()
            statistics = (cgroup / statistics_name).read_text("ascii")
        except OSError:
            continue
        if not limit.isdigit():
            return None
        pairs = (line.split() for line in statistics.splitlines())
        used = next((int(pair[1]) for pair in pairs if pair[0] == used_name), 0)
        return max(0, int(limit) - used - RESERVE_BYTES)
    return None
