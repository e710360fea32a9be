"""From a switch in the registry until all of four workers answer with it, and what hundreds of waiters cost others."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from threading import Thread

import httpx

from bench.results import Goal, Result
from contracts.deployments import DeploymentRequest, RollbackRequest
from contracts.registry.calls import active_path
from contracts.registry.client import RegistryClient
from localservers.waiting import wait_until
from prove.registry_process import MODEL, TOKEN, running_registry
from prove.services import SERVICES, running
from ranking.testing import FIRST_DATASET_ID, Size, tiny_archive
from testkit.redis_server import RedisServer

WORKERS, SWITCHES, WAITERS = 4, 20, 500
# The demo's bundle has as many.
SIZE = Size(datasets=2000, trees=100, leaves=31)
_FOLLOW_SECONDS = 60.0
_POLL_SECONDS = 0.005
_ASKED = 300
_SETTLE_SECONDS = 3.0
_API = next(each for each in SERVICES if each.name == "recommender-api")


def prove(folder: Path, seed: int) -> list[Result]:
    """Measure both at one registry."""
    with running_registry(folder / "registry") as registry:
        archives = [
            tiny_archive(folder / f"{number}.tar.gz", seed=seed + number, size=SIZE)
            for number in range(SWITCHES // 2 + 1)
        ]
        versions = [registry.client.push(archive).version for archive in archives]
        registry.client.deploy(DeploymentRequest(version=versions[0]))
        with _workers(folder, str(registry.http.base_url)) as urls:
            took = follow_switches(registry.client, versions, urls)
        alone, besides = cost_of_waiters(registry.http, WAITERS)
    results = []
    for name, seconds in took.items():
        what = f"{name} until {WORKERS} workers answer with it"
        results += [
            Result(f"{what}, median of {len(seconds)}", median(seconds), "s"),
            Result(f"{what}, worst", max(seconds), "s", Goal(most=3.0)),
        ]
    return [
        *results,
        Result("GET /models/ranker, p99 without waiters", alone * 1000, "ms"),
        Result(f"… with {WAITERS} waiters", besides * 1000, "ms"),
        Result("… ratio", besides / alone, "×", Goal(most=1.5)),
    ]


def follow_switches(client: RegistryClient, versions: Sequence[str], urls: Sequence[str]) -> dict[str, list[float]]:
    """Deploy versions, of which the first is in service, and roll each back; return how long (s) the workers took."""
    took: dict[str, list[float]] = {"deploy": [], "rollback": []}
    with ExitStack() as stack:
        workers = [stack.enter_context(httpx.Client(base_url=url, timeout=30)) for url in urls]
        _await_version(workers, versions[0])
        time.sleep(_SETTLE_SECONDS)
        for version in versions[1:]:
            client.deploy(DeploymentRequest(version=version, force=True, reason="prove"))
            took["deploy"].append(_await_version(workers, version))
            before = client.roll_back(RollbackRequest(reason="prove")).version
            took["rollback"].append(_await_version(workers, before))
    return took


def cost_of_waiters(registry: httpx.Client, waiters: int) -> tuple[float, float]:
    """Return the p99 (s) of another route without and with so many callers that wait for a change."""
    alone = _p99(registry)
    with _waiting(registry, waiters):
        besides = _p99(registry)
    return alone, besides


@contextmanager
def _workers(folder: Path, registry_url: str) -> Iterator[list[str]]:
    settings = {"REGISTRY_URL": registry_url, "REGISTRY_TOKEN": TOKEN, "LOG_LEVEL": "WARNING"}
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder))
        names = [f"worker-{number}" for number in range(WORKERS)]
        started = [
            stack.enter_context(running(_API, folder / name, redis.url, settings | {"REPLICA_ID": name}))
            for name in names
        ]
        yield [f"http://127.0.0.1:{each.port}" for each in started]


def _await_version(workers: Sequence[httpx.Client], version: str) -> float:
    """Return how long (s) it takes until all workers answer with a version."""
    began = time.monotonic()
    for worker in workers:
        wait_until(
            lambda worker=worker: _version(worker) == version,  # type: ignore[misc]  # bound now
            within=_FOLLOW_SECONDS,
            every=_POLL_SECONDS,
            what=f"a worker answers with version {version}",
        )
    return time.monotonic() - began


def _version(worker: httpx.Client) -> str | None:
    answer = worker.get(f"/similar/{FIRST_DATASET_ID}")
    return str(answer.json()["model_version"]) if answer.is_success else None


def _p99(registry: httpx.Client) -> float:
    took = []
    for _ in range(_ASKED):
        began = time.perf_counter()
        registry.get(f"/models/{MODEL}").raise_for_status()
        took.append(time.perf_counter() - began)
    return sorted(took)[int(_ASKED * 0.99)]


@contextmanager
def _waiting(registry: httpx.Client, waiters: int) -> Iterator[None]:
    """Hold so many requests at the registry for the length of a block."""
    url = str(registry.base_url.join(active_path(MODEL)))
    etag = httpx.get(url, timeout=5).headers["ETag"]
    loop, ended = asyncio.new_event_loop(), asyncio.Event()

    async def hold() -> None:
        headers = {"If-None-Match": etag, "Prefer": "wait=60"}
        async with httpx.AsyncClient(timeout=90, limits=httpx.Limits(max_connections=None)) as http:
            held = asyncio.gather(*(http.get(url, headers=headers) for _ in range(waiters)))
            await ended.wait()
            held.cancel()
            with suppress(asyncio.CancelledError):
                await held

    thread = Thread(target=loop.run_until_complete, args=(hold(),))
    thread.start()
    try:
        wait_until(
            lambda: f"registry_waiting_requests {waiters}.0" in registry.get("/metrics").text,
            within=_FOLLOW_SECONDS,
            what="the registry holds the requests",
        )
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
