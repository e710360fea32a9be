"""Dead letters are shown, put back exactly once, and dropped, by id, reason or age."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from stream_worker import Worker

from contracts import redis_keys
from contracts.command_line import OK, UNREACHABLE, USAGE
from feature_sync.events.dead_letters import DeadLetters, Selection
from feature_sync.events.entries import DeadLetter, first_id_of, received_at
from feature_sync.events.log import EventLog
from feature_sync.featurectl.main import main
from localservers.waiting import wait_until
from testkit.redis_server import RedisServer

pytestmark = pytest.mark.anyio
Run = Callable[..., str]


@pytest.fixture
def run(worker: httpx.Client, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str, code: int = OK) -> str:
        assert main(["--url", str(worker.base_url), "--token", "the-token", *arguments]) == code
        printed = capsys.readouterr()
        return printed.out if code == OK else printed.err

    return command


def _add(plain: Redis, **fields: Any) -> None:
    plain.xadd(redis_keys.EVENT_STREAM, fields)


def _event(number: int) -> str:
    given = {"event_id": f"e-{number}", "type": "view", "user_id": 7, "dataset_id": number}
    return json.dumps({**given, "ts": datetime.now(UTC).isoformat()})


def _letters(count: int, body: Callable[[int], str] = _event, reason: str = "unreadable") -> list[DeadLetter]:
    return [DeadLetter(b"%d-0" % (n + 1), {b"event": body(n + 1).encode()}, reason) for n in range(count)]


def test_dead_letters_are_listed_put_back_and_dropped_with_the_command(run: Run, plain: Redis) -> None:
    _add(plain, event="no JSON \x1b[2J")
    _add(plain, evnt="unknown")
    wait_until(lambda: plain.xlen(redis_keys.DEAD_LETTERS) == 2, within=60, what="they are dead letters")
    shown = run("dead-letters", "list")
    assert "unreadable: ValidationError" in shown
    assert "\\x1b[2J" in shown, "control characters of an entry must not reach the terminal"
    assert shown.endswith("2 shown, 2 stored\n")
    assert run("dead-letters", "list", "--reason", "KeyError").endswith("1 shown, 2 stored\n")
    assert run("dead-letters", "list", "--older-than", "1h") == "0 shown, 2 stored\n"

    first, second = json.loads(run("dead-letters", "list", "--json"))["dead_letters"]
    assert (first["replayed"], second["reason"]) == (False, "unreadable: KeyError: b'event'")
    assert run("dead-letters", "replay", "--older-than", "7d") == "0 put back, 2 left\n"
    run("dead-letters", "replay", first["id"])
    wait_until(lambda: plain.xlen(redis_keys.DEAD_LETTERS) == 2, within=60, what="it is a dead letter again")
    _, again = json.loads(run("dead-letters", "list", "--json"))["dead_letters"]
    assert (again["replayed"], again["content"].startswith("no JSON")) == (True, True)
    assert "failed again after a replay" in run("dead-letters", "list")

    assert run("dead-letters", "drop", "--reason", "KeyError") == "1 dropped, 1 left\n"
    assert json.loads(run("--json", "dead-letters", "drop", "--all")) == {"dropped": 1, "total": 0}


def test_a_selection_is_made_on_purpose(run: Run) -> None:
    assert "give ids, reason or older_than_seconds; or all" in run("dead-letters", "drop", code=1)
    assert "give ids" in run("dead-letters", "drop", "--all", "--reason", "x", code=1)
    assert "'soon' is no age" in run("dead-letters", "list", "--older-than", "soon", code=USAGE)


def test_dead_letters_need_the_token_and_a_redis(run: Run, worker: httpx.Client, redis_server: RedisServer) -> None:
    assert worker.get("/dead-letters").status_code == 401
    redis_server.kill()
    try:
        assert "Redis doesn't answer" in run("dead-letters", "list", code=UNREACHABLE)
    finally:
        redis_server.restart()


async def test_an_entry_is_put_back_exactly_once_by_concurrent_and_by_interrupted_replays(
    redis: AsyncRedis, plain: Redis
) -> None:
    letters = DeadLetters(redis, 1000)
    await letters.add(_letters(120))
    # An interrupted replay has put the first one back, and its letter is still there.
    ((letter_id, fields),) = plain.xrange(redis_keys.DEAD_LETTERS, count=1)
    _add(plain, event=fields[b"event"])
    plain.zadd(redis_keys.REPLAYED_LETTERS, {letter_id: plain.time()[0]})

    done = await asyncio.gather(*(letters.replay(Selection()) for _ in range(4)))
    assert sum(each.added for each in done) == 119
    entries = plain.xrange(redis_keys.EVENT_STREAM)
    bodies = sorted(json.loads(fields[b"event"])["dataset_id"] for _, fields in entries)
    assert bodies == list(range(1, 121))
    assert plain.xlen(redis_keys.DEAD_LETTERS) == 0


async def test_an_entry_that_is_put_back_keeps_its_moment_and_counts_once(
    redis: AsyncRedis, plain: Redis, redis_url: str, postgres_log: EventLog
) -> None:
    """A user who was forgotten in between is not brought back: the replay is as old as the entry."""
    worker = Worker(redis, redis_url, postgres_log)
    await worker.letters.add(_letters(1))
    for _ in range(2):
        await worker.letters.replay(Selection())
        ((entry, fields),) = plain.xrange(redis_keys.EVENT_STREAM)
        assert (first_id_of(fields), received_at(entry, fields)) == (b"1-0", 0.001)
        # As if the entry had failed again: its new letter still has the first id.
        await worker.letters.add([DeadLetter(entry, fields, "again")])
        plain.xtrim(redis_keys.EVENT_STREAM, 0)
    await worker.letters.replay(Selection())
    for _ in range(4):
        await worker.step()
    assert worker.metrics.registry.get_sample_value("sync_events_total", {"outcome": "applied"}) == 1
    assert (plain.xlen(redis_keys.DEAD_LETTERS), plain.xlen(redis_keys.EVENT_STREAM)) == (0, 0)


async def test_letters_from_a_clock_that_was_ahead_are_selected_unless_by_their_age(
    redis: AsyncRedis, plain: Redis
) -> None:
    letters = DeadLetters(redis, 1000)
    far = "99999999999999-0"
    plain.xadd(redis_keys.DEAD_LETTERS, {"entry": "1-0", "error": "unreadable", "event": "x"}, id=far)
    await letters.add(_letters(2))
    assert [each.id for each in await letters.list(9, Selection(older_than=1.0))] == []
    first, *others = await letters.list(9, Selection(reason="unread"))
    assert (first.id, len(others)) == (far, 2)
    assert await letters.drop(Selection(ids=frozenset([far]))) == 1
    assert (await letters.replay(Selection())).added == 2


def test_a_key_of_another_type_is_named_and_a_far_letter_is_shown(run: Run, worker: httpx.Client, plain: Redis) -> None:
    plain.xadd(redis_keys.DEAD_LETTERS, {"entry": "1-0", "error": "unreadable"}, id="18446744073709551615-7")
    assert "18446744073709551615-7" in run("dead-letters", "list")
    assert run("dead-letters", "drop", "18446744073709551615-7") == "1 dropped, 0 left\n"
    plain.delete(redis_keys.DEAD_LETTERS)
    plain.set(redis_keys.DEAD_LETTERS, "x")
    named = f"The key {redis_keys.DEAD_LETTERS} in Redis is a string and not a stream"
    assert named in run("dead-letters", "list", code=UNREACHABLE)
    check = worker.get("/health").json()["checks"]["dead_letters"]
    assert (check["status"], named in check["detail"]) == ("unhealthy", True)


async def test_a_letter_that_arises_during_a_replay_is_not_part_of_it(redis: AsyncRedis, plain: Redis) -> None:
    """Otherwise entries that always fail would be put back without an end."""
    letters = DeadLetters(redis, 1000)
    await letters.add(_letters(3))
    selected = letters.select(Selection())
    first = await anext(selected)
    await letters.add([DeadLetter(b"9-0", {b"event": b"new"}, "unreadable")])
    assert len([first, *[each async for each in selected]]) == 3
