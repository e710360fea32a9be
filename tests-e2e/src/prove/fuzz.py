"""20,000 requests with an odd value in each, over all routes of all services: none fails, and memory doesn't grow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bench.results import Goal, Result
from localservers.waiting import wait_until
from prove.services import SERVICES, RunningService, Service, running
from ranking.testing import tiny_archive
from testkit import fuzz_targets
from testkit.fake_registry import FakeRegistry
from testkit.fuzz import FuzzReport, Target, fuzz
from testkit.redis_server import RedisServer

REQUESTS_PER_SERVICE = 5_000
_TOKEN = "the-token-of-all-services"
_HOOK_SECRET = "the-secret-of-signed-hooks"
_MOST_GROWTH_MB = 20.0
_READY_SECONDS = 60


@dataclass(frozen=True)
class _Around:
    """What the services of a run share."""

    folder: Path
    redis_url: str
    registry_url: str
    archive: Path


def prove(folder: Path, seed: int) -> list[Result]:
    """Return, for each service, the number of requests, the number of failures, and the growth of memory."""
    results: list[Result] = []
    with _surroundings(folder) as around:
        for service in SERVICES:
            settings = {
                "REGISTRY_URL": around.registry_url,
                "SENTRY_WEBHOOK_SECRET": _HOOK_SECRET,
                **dict.fromkeys(("EVENTS_TOKEN", "ADMIN_TOKEN", "GATEWAY_TOKEN", "REGISTRY_TOKEN"), _TOKEN),
            }
            with running(service, folder / service.name, around.redis_url, settings) as process:
                results += _fuzz(
                    service, process, _TARGETS[service.name](f"http://127.0.0.1:{process.port}", around), seed
                )
    return results


def _fuzz(service: Service, process: RunningService, target: Target, seed: int) -> list[Result]:
    first = fuzz(target, REQUESTS_PER_SERVICE, seed)
    resident = _resident_mb(process)
    second = fuzz(target, REQUESTS_PER_SERVICE, seed)
    growth = _resident_mb(process) - resident
    return [
        Result(f"{service.name}: requests per round", first.requests, "", Goal(least=REQUESTS_PER_SERVICE)),
        Result(f"{service.name}: failed requests", len(_print_faults(first) + _print_faults(second)), "", Goal(most=0)),
        Result(f"{service.name}: growth of memory in the second round", growth, "MB", Goal(most=_MOST_GROWTH_MB)),
    ]


def _print_faults(report: FuzzReport) -> list[str]:
    for fault in report.faults[:20]:
        print(fault)  # noqa: T201 - the request is needed to find the fault
    return report.faults


@contextmanager
def _surroundings(folder: Path) -> Iterator[_Around]:
    archive = tiny_archive(folder / "bundle.tar.gz")
    registry = FakeRegistry()
    registry.deploy(registry.push("1", archive))
    registry.start()
    try:
        with RedisServer(folder) as redis:
            yield _Around(folder, redis.url, registry.url, archive)
    finally:
        registry.stop()


def _recommender(url: str, _around: _Around) -> Target:
    wait_until(
        lambda: httpx.get(f"{url}/ready", timeout=5).is_success, within=_READY_SECONDS, what="recommender-api is ready"
    )
    return fuzz_targets.recommender(url, _TOKEN)


def _registry(url: str, around: _Around) -> Target:
    target = fuzz_targets.registry(url, _TOKEN, around.archive)
    upload = target.bodies["POST /models/{name}/versions"]
    httpx.post(
        f"{url}/models/ranker/versions",
        content=upload.content,
        headers={"Authorization": f"Bearer {_TOKEN}", "Content-Type": upload.content_type},
        timeout=30,
    ).raise_for_status()
    return target


_TARGETS: dict[str, Callable[[str, _Around], Target]] = {
    "recommender-api": _recommender,
    "model-registry": _registry,
    "feature-sync": lambda url, _around: fuzz_targets.feature_sync(url, _TOKEN),
    "notification-gateway": lambda url, _around: fuzz_targets.gateway(url, _TOKEN, _TOKEN, _HOOK_SECRET),
}


def _resident_mb(process: RunningService) -> float:
    return float(psutil.Process(process.pid).memory_info().rss / 1e6)
