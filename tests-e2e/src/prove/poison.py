"""Unprocessable entries don't block others, and a database outage doesn't turn good events into dead letters.

Redis, PostgreSQL and a worker of its own: 10,000 good events with 100 unprocessable entries of ten kinds among them,
then the database down, hung and full.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psycopg2
from redis import Redis

from bench.results import Goal, Result
from contracts import redis_keys
from contracts.user_blob import LiveHistory
from localservers.ports import Ports
from localservers.waiting import wait_until
from testkit.postgres import PostgresServer, running_server
from testkit.redis_server import RedisServer

GOOD, POISON = 10_000, 100
OUTAGE_SECONDS = 300.0
# The rate of a busy marketplace; a worker processes about ten times as much.
EVENTS_PER_SECOND = 400
CHUNK_SECONDS = 0.1
OUTAGE_EVENTS_PER_SECOND = 20
LIVE_SECONDS = 1.0
SETTLE_SECONDS = 30.0
DRAIN_SECONDS = 180.0
DATABASE = "recsys"
_FULL = """
CREATE FUNCTION events.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON events.behavior_events FOR EACH ROW EXECUTE FUNCTION events.refuse();
"""
_ROOM = "DROP TRIGGER refuse ON events.behavior_events; DROP FUNCTION events.refuse();"

Fields = dict[Any, Any]


def _body(number: int, **changes: object) -> dict[str, object]:
    body = {"event_id": f"prove-{number}", "type": "view", "user_id": number % 5000 + 1, "dataset_id": number}
    return {**body, "ts": datetime.now(UTC).isoformat(), **changes}


def _entry(number: int, **changes: object) -> Fields:
    return {"event": json.dumps(_body(number, **changes))}


KINDS: Sequence[Callable[[int], Fields]] = (
    lambda number: {"event": f'{{"event_id": "prove-{number}'},
    lambda number: {"evnt": json.dumps(_body(number))},
    lambda number: _entry(number, dataset_id=float("nan")),
    lambda number: {"event": json.dumps(_body(number)).encode().replace(b"view", b"vi\xff\xfew")},
    lambda number: _entry(number, request_id="x" * 1_000_000),
    lambda number: _entry(number, ts="9999-12-31T23:59:59-14:00"),
    lambda number: _entry(number, ts="0001-01-01T00:00:00+14:00"),
    lambda number: _entry(number, dataset_id=2**63 + number),
    lambda number: _entry(number, request_id="\ud83d"),
    # A valid event that the database rejects.
    lambda number: _entry(number, experiment_variant="refused"),
)
_REFUSAL = "ALTER TABLE events.behavior_events ADD CONSTRAINT refusal CHECK (experiment_variant <> 'refused')"


@dataclass
class Traffic:
    """Sends events and records when each is live."""

    redis: Redis
    sent: dict[int, float] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def send(self, entries: Sequence[tuple[int | None, Fields]]) -> None:
        """Put entries into the stream; those with a number are good, and watched."""
        pipeline = self.redis.pipeline(transaction=False)
        for _, fields in entries:
            pipeline.xadd(redis_keys.EVENT_STREAM, fields)
        pipeline.execute()
        now = time.monotonic()
        self.sent.update({number: now for number, _ in entries if number is not None})

    def look(self) -> None:
        """Record which of the sent events are live now."""
        waiting = list(self.sent)
        if not waiting:
            return
        keys = [redis_keys.live_history(number % 5000 + 1) for number in waiting]
        found: Any = self.redis.mget(keys)
        now = time.monotonic()
        for number, blob in zip(waiting, found, strict=True):
            if blob is not None and number in LiveHistory.unpack(blob).history.ids:
                self.latencies.append(now - self.sent.pop(number))

    def stream(self, entries: Sequence[tuple[int | None, Fields]], per_second: float) -> None:
        """Send entries at a steady rate."""
        size = max(1, round(per_second * CHUNK_SECONDS))
        due = time.monotonic()
        for start in range(0, len(entries), size):
            self.send(entries[start : start + size])
            due += CHUNK_SECONDS
            while (left := due - time.monotonic()) > 0:
                time.sleep(min(left, CHUNK_SECONDS / 4))
                self.look()

    def settle(self, within: float = SETTLE_SECONDS) -> None:
        """Wait until every sent event is live."""
        wait_until(self._is_settled, within=within, every=0.05, what="all events are live")

    def _is_settled(self) -> bool:
        self.look()
        return not self.sent

    def good(self, number: int) -> list[tuple[int | None, Fields]]:
        """Return this many good events."""
        return [(each, _entry(each)) for each in (next(self.numbers) for _ in range(number))]


class Proof:
    """The servers, and the counts in them."""

    def __init__(self, server: PostgresServer, redis: Redis) -> None:
        self._server = server
        self._redis = redis
        self.traffic = Traffic(redis)

    def dead_letters(self) -> list[bytes]:
        """Return the entries that are dead letters."""
        found: Any = self._redis.xrange(redis_keys.DEAD_LETTERS)
        return [fields[b"entry"] for _, fields in found]

    def stored(self) -> int:
        """Return the number of good events in the database."""
        return int(self._query("SELECT count(*) FROM events.behavior_events WHERE event_id LIKE 'prove-%'"))

    def execute(self, statements: str) -> None:
        """Run statements as an administrator."""
        self._query(f"{statements}; SELECT 0")

    def drain(self) -> float:
        """Wait until the stream is empty; return how long that took (s)."""
        began = time.monotonic()
        wait_until(
            lambda: not self._redis.xlen(redis_keys.EVENT_STREAM), within=DRAIN_SECONDS, what="the stream is empty"
        )
        return time.monotonic() - began

    def mixed(self, seed: int) -> list[Result]:
        """Send good and unprocessable entries together."""
        self.execute(_REFUSAL)
        entries = self.traffic.good(GOOD)
        chance = random.Random(seed)
        for number in range(POISON):
            poison = KINDS[number % len(KINDS)](1_000_000 + number)
            entries.insert(chance.randrange(len(entries)), (None, poison))
        self.traffic.stream(entries, EVENTS_PER_SECOND)
        self.traffic.settle()
        self.drain()
        dead = self.dead_letters()
        return [
            Result(f"good events stored, of {GOOD:,}", self.stored(), "events", Goal(least=GOOD, most=GOOD)),
            Result("slowest good event until it was live", max(self.traffic.latencies), "s", Goal(most=LIVE_SECONDS)),
            Result(f"dead letters of {POISON} poison entries", len(dead), "entries", Goal(least=POISON, most=POISON)),
            Result("duplicate dead letters", len(dead) - len(set(dead)), "entries", Goal(most=0)),
        ]

    def outage(self, name: str, begin: Callable[[], None], end: Callable[[], None], seconds: float) -> list[Result]:
        """Send good events while the database is unavailable, and after it."""
        letters, stored = len(self.dead_letters()), self.stored()
        events = self.traffic.good(round(seconds * OUTAGE_EVENTS_PER_SECOND))
        self.traffic.latencies.clear()
        begin()
        try:
            self.traffic.stream(events, OUTAGE_EVENTS_PER_SECOND)
            self.traffic.settle()
        finally:
            end()
        self.drain()
        missing = stored + len(events) - self.stored()
        slowest = max(self.traffic.latencies)
        return [
            Result(f"database {name}: new dead letters", len(self.dead_letters()) - letters, "entries", Goal(most=0)),
            Result(f"database {name}: events missing afterwards", missing, "events", Goal(most=0)),
            Result(f"database {name}: slowest event until it was live", slowest, "s", Goal(most=LIVE_SECONDS)),
        ]

    def _query(self, statement: str) -> Any:
        url = self._server.cluster.url(DATABASE).replace("+psycopg2", "")
        connection = psycopg2.connect(url, connect_timeout=5)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                row = cursor.fetchone()
        finally:
            connection.close()
        return None if row is None else row[0]


def prove(folder: Path, seed: int, outage_seconds: float = OUTAGE_SECONDS) -> list[Result]:
    """Return the results; takes three outages and about two minutes."""
    with ExitStack() as stack:
        server = stack.enter_context(running_server())
        server.cluster.ensure_database(DATABASE)
        redis_server = stack.enter_context(RedisServer(folder))
        redis = stack.enter_context(Redis.from_url(redis_server.url, socket_timeout=10))
        stack.enter_context(running_worker(redis_server.url, server.cluster.url(DATABASE), folder))
        wait_until(lambda: redis.exists(redis_keys.EVENT_STREAM), within=60, what="the worker is running")
        proof = Proof(server, redis)
        return [
            *proof.mixed(seed),
            *proof.outage("down", server.stop, server.start, outage_seconds),
            *proof.outage("hung", server.freeze, server.thaw, outage_seconds),
            *proof.outage("full", lambda: proof.execute(_FULL), lambda: proof.execute(_ROOM), outage_seconds),
        ]


@contextmanager
def running_worker(redis_url: str, database_url: str, folder: Path) -> Iterator[None]:
    """Run feature-sync as a process of its own."""
    environment = {
        **{name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ},
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "PORT": str(Ports.free().sync),
    }
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "feature_sync"], env=environment, stderr=log)
        try:
            yield
        finally:
            # A thread that waits for the database would delay the end of the process.
            process.kill()
            process.wait()
