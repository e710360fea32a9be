"""The contract of `Store`: the real Redis and the fake both keep it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
import redis
import uvloop

from contracts import redis_keys
from recommender_api.redis_store import (
    MemoryStore,
    NewEvent,
    NewServed,
    Put,
    Store,
    StoreRefusedError,
    StoreUnavailableError,
    StreamFullError,
    open_store,
)
from testkit.redis_server import RedisServer
from testkit.redis_topologies import SentinelSetup, cluster_url

DISCOVERIES = 5
pytestmark = pytest.mark.anyio


class Subject:
    """A store, and direct access to its data."""

    def __init__(self, store: Store, client: redis.Redis | redis.RedisCluster | None) -> None:
        self.store = store
        self._client = client

    def add_sorted_set(self, key: str, members: dict[int, float]) -> None:
        if self._client is None:
            assert isinstance(self.store, MemoryStore)
            self.store.sorted_sets[key] = members
        else:
            self._client.zadd(key, {str(member): score for member, score in members.items()})

    def set(self, key: str, value: bytes) -> None:
        if self._client is None:
            assert isinstance(self.store, MemoryStore)
            self.store.values[key] = value
        else:
            self._client.set(key, value)

    def begin_reading_served(self) -> None:
        if self._client is None:
            assert isinstance(self.store, MemoryStore)
            self.store.served = []
        else:
            self._client.xgroup_create(redis_keys.SERVED_STREAM, "log", "0", mkstream=True)

    def served(self) -> list[NewServed]:
        if self._client is None:
            assert isinstance(self.store, MemoryStore)
            return self.store.served or []
        return [NewServed(*fields.values()) for _, fields in self._client.xrange(redis_keys.SERVED_STREAM)]

    def stream(self, key: str = redis_keys.EVENT_STREAM) -> list[bytes]:
        if self._client is None:
            assert isinstance(self.store, MemoryStore)
            return self.store.stream if key == redis_keys.EVENT_STREAM else self.store.repeated
        return [next(iter(fields.values())) for _, fields in self._client.xrange(key)]


@pytest.fixture
def stream_max_bytes() -> int:
    return 2**30


@pytest.fixture(params=["server", "tls", "user", "sentinels", "cluster", "memory"])
async def subject(request: pytest.FixtureRequest, stream_max_bytes: int) -> AsyncIterator[Subject]:
    kind: str = request.param
    if kind == "memory":
        yield Subject(MemoryStore(stream_max_bytes), None)
        return
    url, client = _reached(kind, request.getfixturevalue)
    with client:
        client.flushall()
        store = open_store(url, budget=0.5, stream_max_bytes=stream_max_bytes)
        try:
            # On a busy machine discovering the nodes of a cluster takes longer than a call, and sometimes than a probe.
            for _ in range(DISCOVERIES):
                with suppress(StoreUnavailableError):
                    await store.probe()
                    break
            yield Subject(store, client)
        finally:
            await store.close()


def _reached(kind: str, fixture: Callable[[str], Any]) -> tuple[str, redis.Redis | redis.RedisCluster]:
    """Return the URL of a real Redis of this kind, and a client for the test."""
    if kind == "tls":
        server: RedisServer = fixture("tls_redis")
        return server.url, redis.Redis.from_url(server.url, socket_timeout=5)
    if kind == "sentinels":
        watched: SentinelSetup = fixture("watched_redis")
        return watched.url, redis.Redis.from_url(watched.master().url, socket_timeout=5)
    if kind == "cluster":
        nodes: list[RedisServer] = fixture("redis_cluster")
        return cluster_url(nodes), redis.RedisCluster.from_url(nodes[0].url, socket_timeout=5)
    url: str = fixture("redis_url")
    client = redis.Redis.from_url(url, socket_timeout=5)
    if kind == "user":
        client.execute_command(
            "ACL", "SETUSER", "api", "on", ">p@ss", "~*", "+@read", "+@write", "+@scripting", "+@connection"
        )
        url = url.replace("redis://", "redis://api:p%40ss@").replace("/0", "/5")
        client = redis.Redis.from_url(url, socket_timeout=5)
    return url, client


async def test_read_returns_values_in_the_order_of_the_keys_and_none_for_missing_ones(subject: Subject) -> None:
    await subject.store.write([Put(b"1", {"a": 60}), Put(b"\x00\xff", {"b": 60})], [])
    assert await subject.store.read(["b", "nothing", "a"]) == [b"\x00\xff", None, b"1"]


async def test_the_head_of_a_value_is_its_first_bytes_and_none_if_the_key_is_missing(subject: Subject) -> None:
    subject.set("withdrawn", b"0123456789")
    assert await subject.store.read_head("withdrawn", 4) == b"0123"
    assert await subject.store.read_head("withdrawn", 40) == b"0123456789"
    assert await subject.store.read_head("absent", 4) == b""


async def test_the_last_write_of_a_key_counts(subject: Subject) -> None:
    await subject.store.write([Put(b"1", {"a": 60}), Put(b"2", {"a": 60})], [])
    assert await subject.store.read(["a"]) == [b"2"]


async def test_top_returns_the_highest_scores_first(subject: Subject) -> None:
    subject.add_sorted_set("hot", {7: 1.5, 8: 3.0, 9: 2.0})
    assert await subject.store.top("hot", 2) == [(8, 3.0), (9, 2.0)]
    assert await subject.store.top("hot", 2, 1) == [(9, 2.0), (7, 1.5)]
    assert await subject.store.top("absent", 2) == []


async def test_an_event_is_added_once_within_a_batch_and_across_batches(subject: Subject) -> None:
    first, second = NewEvent("e1", b"one"), NewEvent("e2", b"two")
    assert await subject.store.add_events([first, first]) == 1
    assert await subject.store.add_events([first, second]) == 1
    assert subject.stream() == [b"one", b"two"]


async def test_a_repeated_event_goes_to_the_log_because_a_filter_may_mistake_an_id(subject: Subject) -> None:
    events = [NewEvent(f"e-{number}", b"%d" % number) for number in range(120)]
    assert await subject.store.add_events(events) == 120
    assert await subject.store.add_events([*events, NewEvent("new", b"new")]) == 1
    assert subject.stream() == [*(event.body for event in events), b"new"]
    assert subject.stream(redis_keys.REPEATED_EVENTS) == [event.body for event in events]


async def test_exposures_go_to_the_event_stream_in_order(subject: Subject) -> None:
    await subject.store.write([], [b"x", b"y"])
    await subject.store.write([Put(b"1", {"a": 60})], [b"z"])
    assert subject.stream() == [b"x", b"y", b"z"]


async def test_exposures_of_answers_to_nobody_wait_for_readers_that_take_them(subject: Subject) -> None:
    nobody, somebody = b'{"user_id":null,"exposure_id":"a"}', b'{"user_id":7,"exposure_id":"b"}'
    await subject.store.write([], [nobody, somebody])
    await subject.store.write([Put(b"", {redis_keys.TAKES_ANONYMOUS: 60})], [])
    await subject.store.write([], [nobody])
    assert subject.stream() == [somebody, nobody]


@pytest.mark.parametrize("stream_max_bytes", [60_000])
async def test_a_full_stream_takes_a_batch_whole_or_not_at_all_and_values_are_stored_all_the_same(
    subject: Subject,
) -> None:
    batches = [[NewEvent(f"{batch}-{n}", b"%060d" % n) for n in range(120)] for batch in range(20)]
    stored = 0

    async def fill() -> None:
        nonlocal stored
        for batch in batches:
            stored += await subject.store.add_events(batch)

    with pytest.raises(StreamFullError, match="STREAM_MAX_MB"):
        await fill()
    assert (len(subject.stream()), stored % 120) == (stored, 0)
    assert 120 <= stored < 2400
    with pytest.raises(StreamFullError):
        await subject.store.write([Put(b"1", {"a": 60})], [b"x"])
    assert await subject.store.read(["a"]) == [b"1"]
    assert len(subject.stream()) == stored


async def test_served_features_are_written_once_somebody_reads_them(subject: Subject) -> None:
    entries = [NewServed(b'{"user_id":7}', b"\0vectors"), NewServed(b"{}", b"")]
    assert await subject.store.add_served(entries) == 0
    subject.begin_reading_served()
    assert await subject.store.add_served(entries) == 2
    assert subject.served() == entries


async def test_a_stored_value_expires(redis_url: str, redis_client: redis.Redis) -> None:
    store = open_store(redis_url, budget=0.5)
    await store.write([Put(b"1", {"a": 60})], [])
    await store.add_events([NewEvent("e1", b"one")])
    assert 0 < redis_client.ttl("a") <= 60
    (marked,) = redis_client.keys("accepted:*")
    assert redis_client.ttl(marked) > 3600
    await store.close()


async def test_a_large_write_may_take_longer_than_a_read(redis_url: str, redis_client: redis.Redis) -> None:
    store = open_store(redis_url, budget=0.001)
    await store.write([], [b"x" * 200] * 5000)
    assert redis_client.xlen(redis_keys.EVENT_STREAM) == 5000
    await store.close()


async def test_an_event_whose_append_is_rejected_is_not_marked_as_seen(
    redis_url: str, redis_client: redis.Redis
) -> None:
    store = open_store(redis_url, budget=0.5)
    redis_client.set(redis_keys.EVENT_STREAM, "not a stream")
    with pytest.raises(StoreRefusedError) as refused:
        await store.add_events([NewEvent("e1", b"one")])
    assert "WRONGTYPE" in str(refused.value)
    redis_client.delete(redis_keys.EVENT_STREAM)
    assert await store.add_events([NewEvent("e1", b"one")]) == 1
    await store.close()


async def test_a_dead_redis_and_a_hung_one_are_unavailable_within_the_budget(
    redis_url: str, held_redis: RedisServer
) -> None:
    store = open_store(redis_url, budget=0.2)
    await store.read(["a"])
    held_redis.freeze()
    with pytest.raises(StoreUnavailableError) as hung:
        await store.read(["a"])
    assert hung.value.error_type == "TimeoutError"
    held_redis.kill()
    with pytest.raises(StoreUnavailableError) as dead:
        await store.read(["a"])
    assert dead.value.error_type == "ConnectionError"
    await store.close()


async def test_wrong_credentials_are_unavailable_and_a_missing_permission_is_an_error_answer(
    redis_url: str, redis_client: redis.Redis
) -> None:
    redis_client.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "-@all", "+mget", "+client")
    try:
        address = redis_url.removeprefix("redis://")
        wrong = open_store(f"redis://reader:wrong@{address}", budget=0.5)
        with pytest.raises(StoreUnavailableError) as rejected:
            await wrong.read(["a"])
        assert rejected.value.error_type == "AuthenticationError"
        right = open_store(f"redis://reader:secret@{address}", budget=0.5)
        assert await right.read(["a"]) == [None]
        with pytest.raises(StoreRefusedError) as refused:
            await right.write([Put(b"1", {"a": 60})], [])
        assert refused.value.error_type == "NoPermissionError"
        await wrong.close()
        await right.close()
    finally:
        redis_client.execute_command("ACL", "DELUSER", "reader")


def test_an_address_contains_no_credentials() -> None:
    store = open_store("rediss://user:secret@cache.example.com:6380/3", budget=0.5)
    assert store.address == ("cache.example.com", 6380, 3)


async def test_a_process_that_was_too_busy_to_read_is_not_an_outage(redis_url: str) -> None:
    store = open_store(redis_url, budget=0.05)
    await store.read(["a"])
    reading = asyncio.create_task(store.read(["a"]))
    await asyncio.sleep(0)
    time.sleep(0.1)  # noqa: ASYNC251 - what is under test
    assert await reading == [None]
    await store.close()


def test_a_server_that_accepts_connections_and_drops_them_is_unavailable() -> None:
    async def ask() -> set[str]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        store = open_store(f"redis://127.0.0.1:{port}/0", budget=0.5)
        causes = set()
        for _ in range(50):
            with pytest.raises(StoreUnavailableError) as dropped:
                await store.read(["a"])
            causes.add(dropped.value.error_type)
        await store.close()
        server.close()
        return causes

    # The service's own event loop, which rejects writes to a closed connection.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()) == {"ConnectionError"}
