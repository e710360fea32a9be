"""Estimates the memory of each family of keys, by a bounded number of samples, and whether Redis has room for more."""

import logging
from collections import Counter, deque
from typing import Any

from redis.asyncio import RedisCluster

from feature_sync.connections import AnyRedis
from feature_sync.memory.families import FAMILIES, SINGLE_KEYS, family_of
from feature_sync.memory.servers import ServerMemory, mib, server_memories
from feature_sync.metrics import Metrics

_log = logging.getLogger(__name__)

# A sample takes Redis about 4 µs, and no call may hold up answers.
SAMPLES_PER_CALL = 50
# 2,000 samples: the share of a family that holds a tenth of the keys is exact to 13 %.
ROUNDS = 40
# Before that, the estimate of a snapshot's size is a guess.
_ROUNDS_FOR_WARNING = 10

# ARGV: the number of samples. Returns the number of all keys, then each sampled key and its bytes. It touches only keys
# of its own node, so that it may run on any node of a cluster.
_SAMPLE = """
local answer = {redis.call('DBSIZE')}
for _ = 1, ARGV[1] do
  local key = redis.call('RANDOMKEY')
  if not key then break end
  answer[#answer + 1] = key
  answer[#answer + 1] = redis.call('MEMORY', 'USAGE', key) or 0
end
return answer
"""


class MemoryUsage:
    """The memory of each family, as it was estimated last, and what is wrong with the room.

    `stream_max_bytes`: how large the event stream may become.
    """

    def __init__(self, redis: AnyRedis, metrics: Metrics, stream_max_bytes: int) -> None:
        self.families: dict[str, float] = dict.fromkeys(FAMILIES, 0.0)
        self.problems: list[str] = []
        self._redis = redis
        self._metrics = metrics
        self._stream_max_bytes = stream_max_bytes
        self._rounds: deque[Counter[str]] = deque(maxlen=ROUNDS)
        self._servers: list[ServerMemory] = []
        for family in FAMILIES:
            metrics.memory.labels(family)

    async def measure(self) -> None:
        """Ask Redis for some more samples."""
        self._servers = await server_memories(self._redis)
        self._rounds.append(await self._sample())
        # Each round is an estimate of the whole.
        totals: Counter[str] = sum(self._rounds, Counter())
        families = {family: totals[family] / len(self._rounds) for family in FAMILIES}
        for key, family in SINGLE_KEYS.items():
            families[family] += await self._redis.memory_usage(key) or 0
        self.families = families
        for family, size in families.items():
            self._metrics.memory.labels(family).set(size)
        self._metrics.memory_used.set(sum(server.used for server in self._servers))
        self._metrics.memory_limit.set(sum(server.limit for server in self._servers))
        self._note_problems()

    def describe(self) -> str:
        """Return the problems, and the memory of each family."""
        if not self._servers:
            return "not measured yet"
        used, limit = (sum(sizes) for sizes in list(zip(*self._servers, strict=True))[:2])
        parts = ", ".join(f"{family} {mib(size)}" for family, size in self.families.items() if size >= 1)
        of_limit = f"{mib(used)} of {mib(limit)} MiB" if limit else f"{mib(used)} MiB, without maxmemory"
        return "; ".join([*self.problems, f"{of_limit}: {parts}"])

    async def _sample(self) -> Counter[str]:
        """Return the bytes of each family, as samples of each server suggest."""
        answers: list[Any]
        if isinstance(self._redis, RedisCluster):
            nodes = self._redis.get_primaries()
            command = ("EVAL", _SAMPLE, 0, SAMPLES_PER_CALL)
            answers = [await self._redis.execute_command(*command, target_nodes=node) for node in nodes]
        else:
            answers = [await self._redis.eval(_SAMPLE, 0, SAMPLES_PER_CALL)]
        found: Counter[str] = Counter()
        for keys, *samples in answers:
            for key, size in zip(samples[::2], samples[1::2], strict=True):
                name = key.decode("utf-8", "replace")
                if name not in SINGLE_KEYS:
                    found[family_of(name)] += size * keys * 2 // len(samples)
        return found

    def _note_problems(self) -> None:
        problems = [
            f"maxmemory-policy {server.policy} evicts keys without a TTL, such as the active snapshot: use volatile-lru"
            for server in self._servers[:1]
            if server.limit and server.policy.startswith("allkeys-")
        ]
        used, limit = (sum(sizes) for sizes in list(zip(*self._servers, strict=True))[:2])
        needed = used + self.families["snapshot"] + max(0.0, self._stream_max_bytes - self.families["stream"])
        if limit and needed > limit and len(self._rounds) >= _ROUNDS_FOR_WARNING:
            problems.append(
                f"no room for the next snapshot beside the active one and a full event stream: {mib(needed)} MiB of "
                f"{mib(limit)} MiB; raise maxmemory, or lower STREAM_MAX_MB"
            )
        for problem in problems if len(problems) > len(self.problems) else ():
            _log.warning("Redis: %s", problem)
        self.problems = problems
