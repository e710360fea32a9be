"""The real Redis behind `Store`."""

from collections.abc import Sequence
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from redis.asyncio.connection import SSLConnection, parse_url

from contracts import redis_keys
from recommender_api.redis_store.link import Command, Endpoint, Link
from recommender_api.redis_store.port import SEEN_EVENT_SECONDS, NewEvent, Put

# Nobody's answer waits for a write, and a thousand events take Redis a few milliseconds.
WRITE_BUDGET_SECONDS = 0.25

# The mark comes after the event: an error in between counts an event twice (the log's primary key sees to that),
# the other order would lose it.
_ADD_EVENTS = """
local added = 0
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('XADD', KEYS[1], '*', 'event', ARGV[i])
    redis.call('SET', KEYS[i], '1', 'EX', ARGV[1])
    added = added + 1
  end
end
return added
"""

# One command for many entries: packing an XADD each costs the client ten times as much.
_ADD_EXPOSURES = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'exposures', ARGV[i]) end"


class Address(NamedTuple):
    """Where a Redis is, without its credentials."""

    host: str
    port: int
    db: int

    @classmethod
    def of(cls, url: str) -> Self:
        """Read the address from a redis:// or rediss:// URL."""
        parts = urlsplit(url)
        db = parts.path.strip("/")
        return cls(parts.hostname or "localhost", parts.port or 6379, int(db) if db.isdigit() else 0)


class RedisStore:
    """`Store` on one Redis. A read ends within `budget` (s), connecting included; nothing is tried twice."""

    def __init__(self, url: str, *, budget: float) -> None:
        self.address = Address.of(url)
        self._budget = budget
        greeting = _greeting(url)
        endpoint = _endpoint(url)

        async def find() -> Endpoint:
            return endpoint

        # A new connection, TLS included, may take longer than a command; the call's own budget rules anyway.
        timeout = max(budget, 0.05)
        self._reads = Link(find, greeting, connect_timeout=timeout)
        # Of their own, so that no read waits behind a thousand events.
        self._writes = Link(find, greeting, connect_timeout=timeout)

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `Store`."""
        (values,) = await self._reads.call([("MGET", *keys)], self._budget)
        found: list[bytes | None] = values
        return found

    async def top(self, key: str, count: int) -> list[tuple[int, float]]:
        """See `Store`."""
        command = ("ZRANGE", key, 0, count - 1, "REV", "WITHSCORES")
        (found,) = await self._reads.call([command], self._budget)
        return [(int(member), float(score)) for member, score in zip(found[::2], found[1::2], strict=True)]

    async def write(self, puts: Sequence[Put], exposures: Sequence[bytes]) -> None:
        """See `Store`."""
        commands: list[Command] = [("SET", put.key, put.value, "EX", put.ttl) for put in puts]
        if exposures:
            commands.append(("EVAL", _ADD_EXPOSURES, 1, redis_keys.EVENT_STREAM, *exposures))
        await self._writes.call(commands, WRITE_BUDGET_SECONDS)

    async def add_events(self, events: Sequence[NewEvent]) -> int:
        """See `Store`."""
        keys = [redis_keys.EVENT_STREAM, *(redis_keys.seen_event(event.event_id) for event in events)]
        arguments = [SEEN_EVENT_SECONDS, *(event.body for event in events)]
        command = ("EVAL", _ADD_EVENTS, len(keys), *keys, *arguments)
        (added,) = await self._writes.call([command], WRITE_BUDGET_SECONDS)
        return int(added)

    async def probe(self) -> None:
        """Ask whether Redis is there, on a new connection: those from before an outage are let go."""
        self._writes.reset()
        self._reads.reset()
        await self._reads.call([("PING",)], self._budget)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._reads.close()
        await self._writes.close()


def _endpoint(url: str) -> Endpoint:
    """Read where to connect; TLS takes redis-py's options (`?ssl_ca_certs=…`)."""
    options = parse_url(url)
    address = Address.of(url)
    if options.pop("connection_class", None) is None:
        return Endpoint(address.host, address.port)
    secure = SSLConnection(**options)
    return Endpoint(address.host, address.port, secure.ssl_context.get())


def _greeting(url: str) -> list[Command]:
    """Return what a new connection says first."""
    options = parse_url(url)
    commands: list[Command] = []
    if password := options.get("password"):
        user = options.get("username")
        commands.append(("AUTH", user, password) if user else ("AUTH", password))
    if db := options.get("db"):
        commands.append(("SELECT", db))
    return commands
