"""The servers under measurement: real processes on loopback, on one core; the load comes from the other core."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
import psutil

from bench import population
from bench.size import FULL_SIZE
from localservers.ports import Ports
from localservers.waiting import wait_until
from ranking.testing import tiny_archive
from testkit.fake_registry import FakeRegistry
from testkit.processes import ServerProcess
from testkit.redis_server import RedisServer

READY_SECONDS = 180
# The service's default budgets; most parts use long ones, because the machine is busy.
DEFAULT_BUDGETS = {"REDIS_BUDGET_MS": "25", "REQUEST_BUDGET_MS": "150", "QUEUE_BUDGET_MS": "10"}
# The recommender uses only the packages of its image: some libraries load others if they are installed.
IMAGE_PYTHON = ".venvs/images/recommender-api/bin/python"
SERVER_CORE, LOAD_CORE = 0, os.cpu_count() or 1


@dataclass(frozen=True)
class Server:
    """A running server of one worker."""

    port: int
    process: psutil.Process

    def cpu(self) -> float:
        """CPU time of its threads so far (s), from the scheduler: the usual clock has only 100 ticks a second."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def resident(self) -> float:
        """Resident memory (MB)."""
        return float(self.process.memory_info().rss / 2**20)


@dataclass(frozen=True)
class Surroundings:
    """What the recommenders of a run share: Redis, registry and folder."""

    redis: RedisServer
    registry: FakeRegistry
    folder: Path


class Receiver(Protocol):
    """A server that receives events and signals."""

    @property
    def dsn(self) -> str:
        """The DSN for events."""

    @property
    def url(self) -> str:
        """The URL for signals."""


# Starts a recommender, in a folder of this name, with more settings.
StartRecommender = Callable[[Surroundings, str, Mapping[str, str]], AbstractContextManager[Server]]


@contextmanager
def surroundings(folder: Path) -> Iterator[Surroundings]:
    """Run a Redis with users and a registry with a bundle of `FULL_SIZE` deployed."""
    os.sched_setaffinity(0, {LOAD_CORE - 1})
    registry = FakeRegistry()
    registry.deploy(registry.push("1", tiny_archive(folder / "bundle.tar.gz", size=FULL_SIZE)))
    registry.start()
    try:
        with RedisServer(folder) as redis:
            population.users(redis.url)
            yield Surroundings(redis, registry, folder)
    finally:
        registry.stop()


@contextmanager
def recommender(
    around: Surroundings,
    name: str,
    settings: Mapping[str, str],
    command: tuple[str, ...] = (IMAGE_PYTHON, "-m", "recommender_api"),
) -> Iterator[Server]:
    """Run the recommender until it is ready."""
    environment = {
        "ENVIRONMENT": "test",
        "LOG_LEVEL": "WARNING",
        "REDIS_URL": around.redis.url,
        "REGISTRY_URL": around.registry.url,
        "MODEL_CACHE_DIR": str(around.folder / name / "models"),
        "EVENT_JOURNAL_DIR": str(around.folder / name / "journal"),
        # The load of a benchmark on a busy machine is not a fault to report.
        "REDIS_BUDGET_MS": "1000",
        "REQUEST_BUDGET_MS": "5000",
        "QUEUE_BUDGET_MS": "500",
    }
    with _server(command, around.folder / f"{name}.log", "/ready", {**environment, **settings}) as server:
        yield server


def monitored_by(receiver: Receiver, folder: Path) -> dict[str, str]:
    """Return the settings of a recommender that sends its events and signals to `receiver`."""
    return {
        "SENTRY_DSN": receiver.dsn,
        "GATEWAY_URL": receiver.url,
        "GATEWAY_TOKEN": "bench-token",
        "SPOOL_DIR": str(folder / "spool"),
    }


@contextmanager
def hello(around: Surroundings) -> Iterator[Server]:
    """Run the smallest FastAPI service."""
    with _server((sys.executable, "-m", "bench.hello"), around.folder / "hello.log", "/", {}) as server:
        yield server


@contextmanager
def naive(around: Surroundings, ranker: Path) -> Iterator[Server]:
    """Run the service that reads each feature of each candidate from Redis."""
    population.entities(around.redis.url)
    settings = {"REDIS_URL": around.redis.url, "RANKER": str(ranker)}
    with _server((sys.executable, "-m", "bench.naive"), around.folder / "naive.log", "/", settings) as server:
        yield server


@contextmanager
def _server(command: tuple[str, ...], log: Path, ready: str, settings: Mapping[str, str]) -> Iterator[Server]:
    port = Ports.free().api
    # Without the caller's settings: a DSN in the shell would affect the measurement.
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), **settings}
    process = ServerProcess(command, log, environment=environment)
    try:
        os.sched_setaffinity(process.pid, {SERVER_CORE})
        wait_until(
            lambda: process.check_alive() and _answers(port, ready), within=READY_SECONDS, what=f"{command[-1]} answers"
        )
        yield Server(port, psutil.Process(process.pid))
    finally:
        process.end()


def _answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=2).is_success
    except httpx.TransportError:
        return False
