"""Bundles that were made to hurt: each is rejected with its reason, and the registry goes on answering."""

import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import quantiles

import httpx

from bench.results import Goal, Result
from contracts.deployments import DeploymentRequest
from contracts.registry.errors import RegistryRejectedError
from prove.registry_process import RegistryProcess, running_registry
from ranking.testing import Size, tiny_archive, tiny_bundle
from testkit.hostile_bundles import write_hostile_bundles

IDLE_SECONDS = 15.0
_PAUSE_SECONDS = 0.02
_ROUTES = ("/models/ranker/active", "/models/ranker", "/health")
MIB = 2**20


def prove(folder: Path, seed: int) -> list[Result]:
    """Send all of them, twice, and measure answers and memory meanwhile."""
    valid = tiny_bundle(folder / "valid", size=Size(60))
    bundles = list(write_hostile_bundles(valid, folder / "hostile", seed))
    with running_registry(folder / "registry") as registry:
        registry.warm_up(folder / "no-archive")
        registry.push_and_deploy(tiny_archive(folder / "good.tar.gz"))
        idle = _Sampler(registry)
        time.sleep(IDLE_SECONDS)
        idle_ms = idle.finish()
        sampler, began = _Sampler(registry), time.monotonic()
        # The first round fills caches of the allocator, and makes the versions whose deployment is refused.
        refused = [_is_refused(registry, archive) for _, archive in bundles]
        took, before = time.monotonic() - began, _memory(registry)
        refused_again = [_is_refused(registry, archive) for _, archive in bundles]
        grown = _memory(registry) - before
        meanwhile_ms = sampler.finish()
        alive = registry.http.get("/health").is_success
        active = registry.client.active()
        left = len(registry.left_over())
    accepted = [name for (name, _), *each in zip(bundles, refused, refused_again, strict=True) if not all(each)]
    fuzzed = [name for name in accepted if name.startswith("fuzz: ")]
    part = "hostile bundles: "
    return [
        Result(part + "bundles", len(bundles), "bundles", Goal(least=80)),
        Result(part + "deployed", len(accepted) - len(fuzzed), "bundles", Goal(most=0)),
        Result(part + "deployed, as a flipped bit did no harm", len(fuzzed), "bundles"),
        Result(part + "the registry is alive", alive and active is not None, "", Goal(least=1)),
        Result(part + "time per bundle, first round", took / len(bundles) * 1000, "ms"),
        Result(part + "p99 of other routes, idle", idle_ms, "ms"),
        Result(part + "p99 of other routes, meanwhile", meanwhile_ms, "ms"),
        Result(part + "p99 meanwhile / idle", meanwhile_ms / idle_ms, "×", Goal(most=2)),
        Result(part + "memory gained by the second round", grown / MIB, "MiB", Goal(most=32)),
        Result(part + "files left", left, "files", Goal(most=0)),
    ]


def _is_refused(registry: RegistryProcess, archive: Path) -> bool:
    """Push and deploy; return whether that was answered by a 4xx with a reason."""
    try:
        pushed = registry.client.push(archive)
        registry.client.deploy(DeploymentRequest(version=pushed.version, force=True, reason="prove"))
    except RegistryRejectedError as error:
        return 400 <= error.status < 500 and bool(error.detail)
    return False


def _memory(registry: RegistryProcess) -> int:
    """Return the resident bytes of the service and of its template."""
    return sum(_resident(pid) for pid in (registry.pid, *registry.descendants()))


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


class _Sampler:
    """Asks other routes from a process of its own, fifty times a second."""

    def __init__(self, registry: RegistryProcess) -> None:
        context = multiprocessing.get_context("spawn")
        self._end = context.Event()
        self._mine, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_sample, args=(str(registry.http.base_url), self._end, theirs))
        self._process.start()
        self._mine.recv()

    def finish(self) -> float:
        """Return the 99th percentile (ms)."""
        self._end.set()
        found: list[float] = self._mine.recv()
        self._process.join()
        return quantiles(found, n=100)[98]


def _sample(url: str, end: Event, answer: "multiprocessing.connection.Connection") -> None:
    found = []
    with httpx.Client(base_url=url, timeout=30) as http:
        answer.send("ready")
        number = 0
        while not end.wait(_PAUSE_SECONDS):
            began = time.perf_counter()
            http.get(_ROUTES[number % len(_ROUTES)]).raise_for_status()
            found.append((time.perf_counter() - began) * 1000)
            number += 1
    answer.send(found)
