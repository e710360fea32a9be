"""Checks before a sync that Redis has room for the snapshot: past `maxmemory` it would evict live histories."""

from dataclasses import dataclass

from feature_sync.connections import AnyRedis
from feature_sync.memory.servers import mib, server_memories

# Of a key in Redis 7: its name, its entry in the table, the headers of both strings, the user's id in the list.
_KEY_BYTES = 200
# The allocator rounds sizes up, by at most a quarter.
_ROUNDING = 1.25


@dataclass(frozen=True)
class SnapshotSize:
    """Number of users and bytes of their blobs."""

    users: int
    blob_bytes: int

    @property
    def redis_bytes(self) -> int:
        """Return an upper estimate of the memory in Redis."""
        return int(self.users * _KEY_BYTES + self.blob_bytes * _ROUNDING)


class NoRoomError(RuntimeError):
    """Redis has no room for the snapshot beside the active one, and nothing was written: raise `maxmemory`."""


async def check_room(redis: AnyRedis, size: SnapshotSize) -> None:
    """Raise `NoRoomError` if the snapshot would take a server past its `maxmemory`."""
    memories = await server_memories(redis)
    needed = size.redis_bytes // len(memories)
    for memory in memories:
        if memory.limit and memory.used + needed > memory.limit:
            raise NoRoomError(
                f"no room in Redis: the snapshot of {size.users} users needs about {mib(needed)} MiB, and "
                f"{mib(memory.used)} of {mib(memory.limit)} MiB are used; raise maxmemory, nothing was written"
            )
