"""Above its capacity the service rejects requests at once and answers the others in time."""

import asyncio
import json
import math
import os
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from localservers.ports import Ports
from localservers.waiting import wait_until
from ranking.testing import FIRST_DATASET_ID
from recommender_api.answers.fast_path_errors import FastPathErrors
from recommender_api.answers.query import Query
from recommender_api.metrics import Metrics
from recommender_api.overload import Admission, Gate, Shedding
from recommender_api.overload.admission import LEAST, MOST, SHARE, TICK_SECONDS
from recommender_api.overload.shedding import MOST_EVENT_BATCHES
from recommender_api.recommendations.fast_path import FastPath
from servicekit.http_protocol import HttpProtocol
from servicekit.request_ids import RequestIdMiddleware
from testkit.fake_registry import FakeRegistry
from testkit.processes import ServerProcess
from testkit.running_app import RunningApp

pytestmark = pytest.mark.anyio

LONGEST_WAIT = 0.01


class Loop:
    """An event loop and its clocks, driven by the test."""

    def __init__(self) -> None:
        self.now = self.cpu = 0.0
        self.tick: Callable[[], None] | None = None
        self.admission = Admission(LONGEST_WAIT, self._later, lambda: self.now, lambda: self.cpu)

    def _later(self, _delay: float, tick: Callable[[], None]) -> None:
        assert self.tick is None
        self.tick = tick

    def admitted(self, asked: int) -> int:
        """Try to admit so many requests at once, and return how many were admitted."""
        return sum(self.admission.acquire() for _ in range(asked))

    def run(self, finish: int, seconds: float, cpu: float | None = None) -> None:
        """Run a round of the loop that takes so long and finishes so many requests."""
        for _ in range(finish):
            self.admission.release()
        self.now += seconds
        self.cpu += seconds if cpu is None else cpu
        tick, self.tick = self.tick, None
        if tick is not None:
            tick()


def test_a_burst_is_processed() -> None:
    loop = Loop()
    assert loop.admitted(300) == 300
    loop.run(300, 9 * LONGEST_WAIT)
    assert loop.admitted(300) == 300


def test_a_single_stall_rejects_no_request() -> None:
    loop = Loop()
    loop.admitted(5)
    loop.run(5, 20 * LONGEST_WAIT)
    loop.run(0, TICK_SECONDS)
    assert loop.admitted(100) == 100


def overloaded(cost: float, refused: int = 10_000) -> Loop:
    """Return a loop that has been overloaded for a while, with queries of this cost."""
    loop = Loop()
    loop.admitted(1_000)
    for _ in range(60):
        admitted = loop.admission.in_flight
        loop.run(admitted, LONGEST_WAIT + TICK_SECONDS, admitted * cost)
        loop.admitted(refused)
    return loop


def test_during_an_overload_the_limit_is_what_the_loop_can_answer_in_the_longest_wait() -> None:
    loop = overloaded(0.0005, refused=40)
    assert loop.admission.limit == pytest.approx(LONGEST_WAIT * SHARE / 0.0005, rel=0.15)
    assert loop.admission.in_flight == loop.admission.limit


def test_during_an_overload_a_request_that_has_waited_too_long_is_rejected_even_alone() -> None:
    loop = overloaded(0.0005)
    loop.run(loop.admission.in_flight, TICK_SECONDS)
    loop.now += LONGEST_WAIT * 1.01
    loop.cpu += LONGEST_WAIT * 1.01
    assert loop.admitted(1) == 0


def test_a_short_round_between_two_long_ones_does_not_end_the_overload() -> None:
    loop = Loop()
    loop.admitted(100)
    for _ in range(5):
        loop.run(0, 5 * LONGEST_WAIT)
        loop.run(100, LONGEST_WAIT / 2)
        loop.admitted(100)
    assert loop.admission.is_overloaded


def test_a_few_callers_are_never_rejected_however_short_of_cpu_the_process_is() -> None:
    loop = Loop()
    for _ in range(500):
        assert loop.admitted(LEAST) == LEAST
        for _ in range(LEAST):
            loop.admission.release()
        loop.run(0, 30 * LONGEST_WAIT)


def test_a_slow_redis_is_not_an_overload() -> None:
    loop = Loop()
    for _ in range(MOST):
        assert loop.admitted(1) == 1
        loop.run(0, TICK_SECONDS, 0.0)
    assert loop.admitted(1) == 0, "but the waiting requests are limited"


def test_after_the_overload_bursts_are_admitted_again() -> None:
    loop = overloaded(0.0005)
    assert loop.admission.is_overloaded
    loop.run(loop.admission.in_flight, TICK_SECONDS)
    for _ in range(60):
        loop.run(0, TICK_SECONDS)
    assert not loop.admission.is_overloaded
    assert loop.admitted(300) == 300


def test_an_idle_loop_is_not_measured() -> None:
    loop = Loop()
    loop.admitted(1)
    loop.run(1, TICK_SECONDS)
    loop.run(0, TICK_SECONDS)
    assert loop.tick is None
    loop.now += 3600
    assert loop.admitted(1) == 1


def full_gate() -> tuple[Gate, Metrics]:
    """Return a gate that admits no request."""
    metrics = Metrics()
    questions = Admission(60.0, lambda *_: None, time.perf_counter, time.thread_time)
    for _ in range(MOST):
        assert questions.acquire()
    return Gate(questions, metrics), metrics


class Empty:
    """A recommender with nothing to recommend."""

    def arm(self, _query: Query) -> None:
        """Accept the query."""

    async def answer(self, _query: Query, _arm: None, _request_id: str) -> tuple[bytes, int]:
        """Answer nothing."""
        return b"{}", 0


@pytest.mark.parametrize("protocol", [None, HttpProtocol], ids=["by ASGI", "past ASGI"])
def test_a_rejection_is_a_problem_with_retry_after_and_other_endpoints_still_answer(
    protocol: type[HttpProtocol] | None,
) -> None:
    gate, metrics = full_gate()
    app = FastAPI()

    @app.get("/{path:path}")
    async def anything() -> None:
        return

    app.add_middleware(Shedding, gate=gate)
    app.add_middleware(RequestIdMiddleware)
    app.state.match_fast_route = FastPath(Empty(), gate, FastPathErrors(metrics.fast_path_failed))  # type: ignore[arg-type]  # all that it needs of a recommender
    with RunningApp(app, protocol) as client:
        paths = ["/similar/5", "/recommend/detail/5?user_id=1", "/recommend/user/7?tag=x", "/hot/trending"]
        for number, path in enumerate(paths):
            refused = client.http.get(path, headers={"X-Request-ID": f"r-{number}"})
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json()["request_id"] == refused.headers["x-request-id"] == f"r-{number}"
            assert refused.json()["instance"] == path.partition("?")[0]
        for path in ("/health", "/ready", "/metrics", "/events", "/docs", "/"):
            assert client.get(path).status_code == 200
        assert shed(metrics.exposition().decode()) == {
            "/similar": 1,
            "/recommend/detail": 1,
            "/recommend/user": 1,
            "/hot/trending": 1,
        }
        gate.questions.release()
        for _ in range(3):
            assert client.get("/similar/5").status_code == 200


async def test_event_batches_have_a_limit_of_their_own() -> None:
    waiting: list[asyncio.Future[None]] = []
    passed, statuses = [], []

    async def app(scope: object, _receive: object, _send: object) -> None:
        passed.append(scope)
        waiting.append(asyncio.get_running_loop().create_future())
        await waiting[-1]

    async def send(message: dict[str, object]) -> None:
        statuses.append(message.get("status"))

    metrics = Metrics()
    questions = Admission(LONGEST_WAIT, lambda *_: None, time.perf_counter, time.thread_time)
    shedding = Shedding(app, Gate(questions, metrics))  # type: ignore[arg-type]  # as is send below

    def ask(path: str) -> asyncio.Task[None]:
        scope = {"type": "http", "path": path, "recsys.request_id": "r-1"}
        return asyncio.create_task(shedding(scope, None, send))  # type: ignore[arg-type]

    tasks = [ask("/events") for _ in range(MOST_EVENT_BATCHES + 3)] + [ask("/similar/5")]
    await asyncio.sleep(0)
    assert statuses.count(503) == 3
    assert len(passed) == MOST_EVENT_BATCHES + 1
    assert shed(metrics.exposition().decode()) == {"/events": 3}
    for future in waiting:
        future.set_result(None)
    await asyncio.gather(*tasks)
    again = ask("/events")
    await asyncio.sleep(0)
    assert statuses.count(503) == 3
    waiting[-1].set_result(None)
    await again


def shed(metrics: str) -> dict[str, float]:
    """Return the rejected requests by endpoint, where there are any."""
    return {
        sample.labels["endpoint"]: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "recommender_shed_total" and sample.value
    }


class Reply(NamedTuple):
    """An answer, its duration (s) and its time."""

    status: int
    seconds: float
    head: str
    body: bytes
    at: float


CONNECTIONS = 100
# The pause of a caller after a rejection: shorter than Retry-After.
PAUSE_SECONDS = 0.1


@pytest.fixture
def server(tmp_path: Path, redis_url: str, registry: FakeRegistry) -> Iterator[int]:
    """The service in a process of its own, with default settings, on one core; its port."""
    port = Ports.free().api
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "ENVIRONMENT": "test",
        "LOG_LEVEL": "WARNING",
        "REDIS_URL": redis_url,
        "REGISTRY_URL": registry.url,
        "MODEL_CACHE_DIR": str(tmp_path / "models"),
        "EVENT_JOURNAL_DIR": str(tmp_path / "journal"),
    }
    process = ServerProcess((sys.executable, "-m", "recommender_api"), tmp_path / "api.log", environment=environment)
    os.sched_setaffinity(process.pid, {0})
    try:
        wait_until(
            lambda: process.check_alive() and _is_ready(port), within=60, every=0.05, what="the service is ready"
        )
        yield port
    finally:
        process.end()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=2).is_success
    except httpx.TransportError:
        return False


async def test_far_above_its_capacity_the_service_answers_some_requests_in_time_and_rejects_the_rest(
    server: int,
) -> None:
    # The most expensive query, so that generating the load costs little in comparison.
    paths = [
        f"/recommend/detail/{FIRST_DATASET_ID + number % 190}?user_id={number + 1}&explain=true"
        for number in range(100_000)
    ]
    left = iter(paths)
    stop = time.perf_counter() + 4
    others: list[Reply] = []
    replies: list[Reply] = []

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server)
        while time.perf_counter() < stop:
            reply = await ask(reader, writer, f"GET {next(left)}")
            replies.append(reply)
            if reply.status != 200:
                await asyncio.sleep(PAUSE_SECONDS)
        writer.close()

    async def operator() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server)
        number = 0
        while time.perf_counter() < stop:
            number += 1
            event = {
                "event_id": f"e-{number}",
                "type": "view",
                "user_id": 7,
                "dataset_id": 105,
                "ts": "2026-01-01T00:00:00Z",
            }
            others.extend([await ask(reader, writer, f"GET /{what}") for what in ("health", "ready", "metrics")])
            others.append(await ask(reader, writer, "POST /events", json.dumps({"events": [event]}).encode()))
        writer.close()

    await asyncio.gather(operator(), *(caller() for _ in range(CONNECTIONS)))
    # The first second is a burst.
    taken = sorted(reply.seconds for reply in replies if reply.status == 200 and reply.at > stop - 3)
    refused = [reply for reply in replies if reply.status != 200]
    assert taken
    assert refused
    assert {reply.status for reply in refused} == {503}
    assert all("retry-after: 1" in reply.head for reply in refused)
    assert all(json.loads(reply.body)["request_id"] in reply.head for reply in refused)
    # Without the gate each of them waits for all the others, however fast the machine is.
    without = CONNECTIONS * 3 / len(taken)
    assert taken[len(taken) // 2] < without / 3
    assert sorted(reply.seconds for reply in refused)[len(refused) // 2] < without / 3
    assert {reply.status for reply in others} == {200, 202}
    assert shed(others[-2].body.decode()) != {}

    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    after = [await ask(reader, writer, f"GET {next(left)}") for _ in range(50)]
    writer.close()
    assert {reply.status for reply in after} == {200}
    assert {json.loads(reply.body)["fallback_level"] for reply in after} == {0}


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str, body: bytes = b"") -> Reply:
    """Send a request over an open connection."""
    began = time.perf_counter()
    head = f"{what} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\nAuthorization: Bearer insecure-development-secret\r\n\r\n"
    writer.write(head.encode() + body)
    async with asyncio.timeout(20):
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length:")[2].partition("\r\n")[0])
        content = await reader.readexactly(length)
    now = time.perf_counter()
    return Reply(int(answer.split(" ", 2)[1]), now - began, answer, content, now)


class Simulated:
    """A process whose callers send the next request as soon as they have an answer, in virtual time.

    A round of the loop reads new requests, ranks a few of those whose data Redis has returned, and does nothing else.
    `share` is the process's share of its core.
    """

    RANKED_A_ROUND = 8
    REFUSAL_SECONDS = 60e-6
    PAUSE_SECONDS = 0.1

    def __init__(self, seed: int, callers: int, *, share: float = 1.0) -> None:
        self._chance = random.Random(seed)
        self._share = share
        self.now = self.cpu = 0.0
        self._ticks: list[tuple[float, Callable[[], None]]] = []
        self.admission = Admission(LONGEST_WAIT, self._later, lambda: self.now, lambda: self.cpu)
        # The time of each caller's next request.
        self._callers = [0.0] * callers
        self.refused = 0
        self.waits: list[tuple[float, float]] = []

    def _later(self, delay: float, tick: Callable[[], None]) -> None:
        self._ticks.append((self.now + delay, tick))

    def _work(self, seconds: float) -> None:
        self.cpu += seconds
        self.now += seconds / self._share

    def run(self, until: float, cost: float) -> None:
        """Run until a moment, with so much work per query (s), plus or minus a fifth."""
        reading: list[tuple[int, float]] = []
        ready: deque[tuple[int, float]] = deque()
        while self.now < until:
            came = [at for at, due in enumerate(self._callers) if due <= self.now]
            ready.extend(reading)
            reading = []
            for caller in came:
                self._callers[caller] = math.inf
                before = self.cpu
                if self.admission.acquire():
                    reading.append((caller, before))
                else:
                    self._work(self.REFUSAL_SECONDS)
                    self.refused += 1
                    self._callers[caller] = self.now + self.PAUSE_SECONDS * self._chance.uniform(0.5, 1.5)
            for _ in range(min(self.RANKED_A_ROUND, len(ready))):
                caller, before = ready.popleft()
                self.waits.append((self.now, self.cpu - before))
                self._work(cost * self._chance.uniform(0.8, 1.2))
                self.admission.release()
                self._callers[caller] = self.now
            due = [tick for at, tick in self._ticks if at <= self.now]
            self._ticks = [(at, tick) for at, tick in self._ticks if at > self.now]
            for tick in due:
                tick()
            if not came and not ready and not reading:
                self.now += 0.0002
        for _ in (*reading, *ready):
            self.admission.release()
        self._callers = [min(due, self.now) for due in self._callers]


@pytest.mark.parametrize("seed", range(5))
def test_with_a_hundred_callers_of_the_most_expensive_query_no_caller_waits_longer_than_the_budget(seed: int) -> None:
    process = Simulated(seed, 100)
    process.run(3.0, 0.0007)
    after_the_burst = [wait for at, wait in process.waits if at > 0.5]
    assert process.refused > 0
    assert len(after_the_burst) > 2.5 / 0.0007 * 0.8, "and the process has as much to do as before"
    assert max(after_the_burst) <= LONGEST_WAIT


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [1.0, 0.3, 0.1])
def test_a_dozen_callers_are_not_rejected_because_redis_died_or_the_machine_is_busy(seed: int, share: float) -> None:
    process = Simulated(seed, 12, share=share)
    process.run(1.0, 0.0004)
    process.run(1.0 + 0.5 / share, 0.0007)
    process.run(4.0, 0.0004)
    assert process.refused == 0
