"""Redis data with old numbers: live histories are moved, and data that is written again anyway is deleted.

Histories are copied, then the old ones deleted, then the copies renamed. Each phase may be repeated, and a key records
the current phase, so an id is never changed twice, even after an interruption.
"""

from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from contracts import redis_keys
from contracts.user_blob import History, LiveHistory, MalformedBlobError
from pipeline.errors import InputError, PipelineError
from pipeline.renumber.changes import IdChanges
from servicekit.redis_urls import connect, disconnect, parse

_PHASE = "renumber:phase"
_COPY = "renumber:copy:"
_LIVE = redis_keys.live_history(0).removesuffix("0")
# Written again by a sync, the next events or the next answers, or computed from old numbers.
_DROPPED = ("fs:*", "hot:*", "{hot:*", "res:*", "last:*", redis_keys.SERVED_STREAM)
_SECONDS = 30.0

AnyRedis = Redis | RedisCluster


class RedisFaultError(PipelineError):
    """Redis rejected a command or the connection broke: start again, finished parts stay."""


class LiveState:
    """Redis during a renumbering; use it as an async context manager."""

    def __init__(self, url: str, *, batch: int = 500) -> None:
        self._batch = batch
        try:
            target = parse(url)
        except ValueError as error:
            raise InputError(f"REDIS_URL: {error}") from error
        self._redis: AnyRedis = connect(
            target,
            socket_connect_timeout=_SECONDS,
            socket_timeout=_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    async def __aenter__(self) -> "LiveState":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await disconnect(self._redis)
        if isinstance(error, RedisError | RedisClusterException):
            raise RedisFaultError(f"Redis: {error}; start again, finished parts stay") from error

    async def waiting_events(self) -> int:
        """Return the number of stream entries that are not processed yet."""
        streams = (redis_keys.EVENT_STREAM, redis_keys.REPEATED_EVENTS)
        return sum([int(await self._redis.xlen(stream)) for stream in streams])

    async def count_histories(self) -> int:
        """Return the number of users with a live history."""
        return sum([len(keys) async for keys in self._scan(f"{_LIVE}*")])

    async def renumber(self, changes: IdChanges) -> int:
        """Move all live histories and delete data that is written again; return how many this call has put in place."""
        return sum([replaced async for replaced in self.steps(changes)])

    async def steps(self, changes: IdChanges) -> AsyncIterator[int]:
        """Do the same for a few keys at a time, and yield each time; the caller may stop and start again later."""
        phase = await self._redis.get(_PHASE)
        deleting, replacing = (f"{changes.token}:{name}".encode() for name in ("delete", "replace"))
        if phase not in (deleting, replacing):
            async for keys in self._scan(f"{_COPY}*"):
                yield await self._unlink(keys)
            async for keys in self._scan(f"{_LIVE}*"):
                yield await self._copy(keys, changes)
            await self._redis.set(_PHASE, deleting)
        if phase != replacing:
            for pattern in (f"{_LIVE}*", *_DROPPED):
                async for keys in self._scan(pattern):
                    yield await self._unlink(keys)
            await self._redis.set(_PHASE, replacing)
        async for keys in self._scan(f"{_COPY}*"):
            yield await self._replace(keys)

    async def forget(self) -> None:
        """Delete the record of a renumbering whose end is recorded elsewhere."""
        await self._redis.delete(_PHASE)

    async def _copy(self, keys: Sequence[bytes], changes: IdChanges) -> int:
        taken = set(changes.users.values())
        writing = self._redis.pipeline(transaction=False)
        for key, (blob, milliseconds) in zip(keys, await self._read(keys), strict=True):
            user = key.decode().removeprefix(_LIVE)
            if blob is None or not user.isdigit():
                continue
            new = changes.users.get(int(user))
            if new is None and int(user) in taken:
                # The number of a user who is not in the tables now belongs to another user.
                continue
            try:
                live = LiveHistory.unpack(blob)
            except MalformedBlobError:
                continue
            history = History(changes.datasets(live.history.ids), live.history.ts, live.history.types)
            packed = LiveHistory(live.sequence, history).pack()
            writing.set(f"{_COPY}{user if new is None else new}", packed, px=milliseconds)
        await writing.execute()
        return 0

    async def _replace(self, keys: Sequence[bytes]) -> int:
        # Not renamed: in a cluster, a key of another name is on another node.
        writing = self._redis.pipeline(transaction=False)
        for key, (blob, milliseconds) in zip(keys, await self._read(keys), strict=True):
            if blob is not None:
                writing.set(f"{_LIVE}{key.decode().removeprefix(_COPY)}", blob, px=milliseconds)
        await writing.execute()
        await self._unlink(keys)
        return len(keys)

    async def _read(self, keys: Sequence[bytes]) -> list[tuple[bytes | None, int | None]]:
        reading = self._redis.pipeline(transaction=False)
        for key in keys:
            reading.get(key)
            reading.pttl(key)
        found: Any = iter(await reading.execute())
        return [(blob, left if left > 0 else None) for blob, left in iter(lambda: tuple(islice(found, 2)), ())]

    async def _unlink(self, keys: Sequence[bytes]) -> int:
        deleting = self._redis.pipeline(transaction=False)
        for key in keys:
            # redis-py's own `unlink` deletes nothing in the pipeline of a cluster.
            deleting.execute_command("UNLINK", key)
        await deleting.execute()
        return 0

    async def _scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        keys: list[bytes] = []
        async for key in self._redis.scan_iter(match=pattern, count=self._batch):
            keys.append(key)
            if len(keys) == self._batch:
                yield keys
                keys = []
        if keys:
            yield keys
