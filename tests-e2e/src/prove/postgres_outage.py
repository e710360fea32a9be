"""While PostgreSQL takes nothing, live features follow each event within a second, and afterwards no event is missing.

Redis, PostgreSQL and a worker of their own: PostgreSQL is stopped, frozen, and rejects each write, one after the other.
"""

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psycopg2
from redis import Redis

from bench.results import Goal, Result
from contracts import redis_keys
from localservers.waiting import wait_until
from prove.poison import DATABASE, DRAIN_SECONDS, Proof, running_worker
from testkit.postgres import PostgresServer, running_server
from testkit.redis_server import RedisServer

OUTAGE_SECONDS = 60.0
EVENTS_PER_SECOND = 500
LIVE_SECONDS = 1.0


def prove(folder: Path, _seed: int, outage_seconds: float = OUTAGE_SECONDS) -> list[Result]:
    """Return the results of three outages in a row."""
    with ExitStack() as stack:
        server = stack.enter_context(running_server())
        server.cluster.ensure_database(DATABASE)
        redis_server = stack.enter_context(RedisServer(folder))
        redis = stack.enter_context(Redis.from_url(redis_server.url, socket_timeout=10))
        stack.enter_context(running_worker(redis_server.url, server.cluster.url(DATABASE), folder))
        wait_until(lambda: redis.exists(redis_keys.EVENT_STREAM), within=60, what="the worker is running")
        proof = Proof(server, redis)
        # The first events of a worker wait for its connections.
        proof.traffic.stream(proof.traffic.good(EVENTS_PER_SECOND), EVENTS_PER_SECOND)
        proof.traffic.settle()
        proof.drain()
        reject, take = partial(_set_read_only, server, "on"), partial(_set_read_only, server, "off")
        return [
            *_outage(proof, "as usual", _do_nothing, _do_nothing, outage_seconds / 4),
            *_outage(proof, "stopped", server.stop, server.start, outage_seconds),
            *_outage(proof, "frozen", server.freeze, server.thaw, outage_seconds),
            *_outage(proof, "read-only", reject, take, outage_seconds),
        ]


def _outage(
    proof: Proof, name: str, begin: Callable[[], None], end: Callable[[], None], seconds: float
) -> list[Result]:
    traffic = proof.traffic
    letters, stored = len(proof.dead_letters()), proof.stored()
    events = traffic.good(round(seconds * EVENTS_PER_SECOND))
    traffic.latencies.clear()
    begin()
    try:
        traffic.stream(events, EVENTS_PER_SECOND)
        # If the machine is too slow, the results say so.
        traffic.settle(DRAIN_SECONDS)
    finally:
        end()
    took = proof.drain()
    missing = stored + len(events) - proof.stored()
    part = f"PostgreSQL {name}: "
    p99 = statistics.quantiles(traffic.latencies, n=100)[98]
    return [
        Result(f"{part}{len(events):,} events live, p99", p99, "s", Goal(most=LIVE_SECONDS)),
        Result(part + "the slowest event live", max(traffic.latencies), "s"),
        Result(part + "events missing", missing, "events", Goal(most=0, least=0)),
        Result(part + "new dead letters", len(proof.dead_letters()) - letters, "entries", Goal(most=0)),
        Result(part + "then, until all are stored", took, "s"),
    ]


def _do_nothing() -> None:
    """Let all run on: what the machine can do."""


def _set_read_only(server: PostgresServer, value: str) -> None:
    """Let the server answer each write with an error of its own, as on a full disk, or take them again."""
    connection = psycopg2.connect(server.cluster.url(DATABASE).replace("+psycopg2", ""), connect_timeout=5)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            cursor.execute("SELECT pg_reload_conf()")
    finally:
        connection.close()
