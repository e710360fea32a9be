"""The memory of each Redis server that takes writes."""

from typing import Any, NamedTuple

from redis.asyncio import RedisCluster

from feature_sync.connections import AnyRedis

_MIB = 2**20


class ServerMemory(NamedTuple):
    """Used bytes, `maxmemory` (0: none) and `maxmemory-policy`."""

    used: int
    limit: int
    policy: str


async def server_memories(redis: AnyRedis) -> list[ServerMemory]:
    """Return the memory of the server, or of each primary of a cluster."""
    if isinstance(redis, RedisCluster):
        await redis.initialize()
        sections: list[Any] = [await redis.info("memory", target_nodes=node) for node in redis.get_primaries()]
    else:
        sections = [await redis.info("memory")]
    return [
        ServerMemory(int(each["used_memory"]), int(each["maxmemory"]), str(each["maxmemory_policy"]))
        for each in sections
    ]


def mib(size: float) -> int:
    """Return bytes in MiB, rounded up."""
    return int(-(-size // _MIB))
