"""What a read of the registry costs with 10,000 versions and 1,000 deployments, beside one with 100 of each.

CPU seconds of the registry's process for each GET, compared with `GET /health` in the same run and with the small
registry, and the growth of its memory. Both answer the same calls in turn, and the best of several rounds counts.
A search for words that are nowhere reads the facts of all versions, one by a tag all of its versions, and the webhooks
count all deliveries that wait: these may grow, and have a bound of their own.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from sqlalchemy import Engine, create_engine, insert, select

from bench.results import Goal, Result
from contracts.bundle import BundleManifest
from contracts.deployments import DeploymentRequest
from contracts.version_labels import MAX_ALIASES
from contracts.webhooks import MAX_WEBHOOKS
from model_registry.tables import (
    SCHEMA,
    aliases,
    deployments,
    version_facts,
    version_tags,
    versions,
    webhook_deliveries,
    webhooks,
)
from prove.registry_process import MODEL, RegistryProcess, running_registry
from ranking.testing import tiny_archive

HEALTH = "/health"
# A page has the aliases, tags and facts of 50 versions.
SEARCHES = (
    f"/models/{MODEL}/versions",
    f"/models/{MODEL}/versions?trained_after=2026-01-01T00:00:00Z&q=nightly",
    f"/models/{MODEL}/versions?alias=alias-1",
)
READS = (
    "/models",
    f"/models/{MODEL}",
    f"/models/{MODEL}?limit=50&before=60",
    f"/models/{MODEL}/versions/1",
    f"/models/{MODEL}/deployments",
    f"/models/{MODEL}/active",
    f"/models/{MODEL}/aliases",
    "/audit",
    "/tokens",
    *SEARCHES,
)
GROWING_READS = (f"/models/{MODEL}/versions?q=nowhere", f"/models/{MODEL}/versions?tag=team:search", "/webhooks")
_ALL_READS = (HEALTH, *READS, *GROWING_READS)
# Loops of the registry run meanwhile: short rounds meet few of them.
ROUNDS = 25
CALLS = 20
_MOST_HEALTHS, _MOST_GROWTH, _MOST_MB = 3.0, 1.2, 10.0
_MOST_HEALTHS_SEARCHING, _MOST_HEALTHS_GROWING = 5.0, 10.0
# CPUCLOCK_SCHED of Linux.
_SCHEDULER = 2
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Size:
    """How much a registry has stored; as many deliveries wait as there are versions."""

    versions: int
    deployments: int


SMALL, LARGE = Size(100, 100), Size(10_000, 1000)


@dataclass(frozen=True)
class _Measured:
    """A registry with its process."""

    registry: RegistryProcess
    process: psutil.Process

    def cpu(self) -> float:
        """CPU time of its process so far (s), also of threads that have ended; see clock_getcpuclockid(3)."""
        return time.clock_gettime(~self.process.pid << 3 | _SCHEDULER)

    def resident(self) -> float:
        """Resident memory (MB)."""
        return float(self.process.memory_info().rss / 2**20)

    def cpu_of(self, path: str) -> float:
        """Return the CPU (s) of a call, of which several are made."""
        before = self.cpu()
        for _ in range(CALLS):
            self.registry.http.get(path).raise_for_status()
        return (self.cpu() - before) / CALLS


def prove(folder: Path, _seed: int) -> list[Result]:
    """Measure both sizes."""
    return compare_sizes(folder, SMALL, LARGE)


def compare_sizes(folder: Path, small: Size, large: Size) -> list[Result]:
    """Measure a small registry and a large one in turn."""
    with ExitStack() as opened:
        running = {
            size: opened.enter_context(filled_registry(folder / str(size.versions), size)) for size in (small, large)
        }
        for measured in running.values():
            for path in _ALL_READS:
                measured.cpu_of(path)
        resident = {size: each.resident() for size, each in running.items()}
        best = {(size, path): float("inf") for size in running for path in _ALL_READS}
        for _ in range(ROUNDS):
            for path in _ALL_READS:
                for size, measured in running.items():
                    best[size, path] = min(best[size, path], measured.cpu_of(path))
        listed = len(running[large].registry.client.versions().versions)
    results = [*_lines(best, small, large), *_memory(resident, small, large)]
    results.append(Result("versions listed page by page", listed, "", Goal(least=large.versions)))
    return [replace(each, name=f"registry size: {each.name}") for each in results]


@contextmanager
def filled_registry(folder: Path, size: Size) -> Iterator[_Measured]:
    """Run a registry whose database has so many rows."""
    with running_registry(folder) as registry:
        registry.client.push(tiny_archive(folder / "1.tar.gz"))
        registry.client.deploy(DeploymentRequest(version="1", reason="prove"))
    engine = create_engine(f"sqlite:///{folder}/recsys.db.{SCHEMA}").execution_options(
        schema_translate_map={SCHEMA: None}
    )
    fill(engine, size)
    engine.dispose()
    with running_registry(folder) as registry:
        yield _Measured(registry, psutil.Process(registry.pid))


def fill(engine: Engine, size: Size) -> None:
    """Add versions beside the first one, three of four of them refreshes, and deployments that have ended.

    Each has facts and a tag. There are as many aliases and webhooks as there may be, all of a receiver that is down.
    """
    _fill_labels(engine, size)
    _fill_webhooks(engine, size)
    with engine.begin() as connection:
        first = connection.execute(select(versions).where(versions.c.version == 1)).one()
        copied = {name: value for name, value in first._mapping.items() if name != "id"}  # noqa: SLF001 - SQLAlchemy's
        connection.execute(
            insert(versions), [{**copied, **_version(copied, number)} for number in range(2, size.versions + 1)]
        )
        active = connection.execute(select(deployments)).one()
        served = {name: value for name, value in active._mapping.items() if name != "id"}  # noqa: SLF001 - as above
        ended = served | {"state": "replaced", "reason": "nightly training", "deployed_by": "ci@main"}
        connection.execute(
            insert(deployments),
            [
                ended | {"version": number, "created_at": _BEGAN + timedelta(hours=number)}
                for number in range(2, size.deployments + 1)
            ],
        )


def _fill_labels(engine: Engine, size: Size) -> None:
    with engine.begin() as connection:
        numbers = range(2, size.versions + 1)
        connection.execute(
            insert(version_facts),
            [
                {
                    "model": MODEL,
                    "version": number,
                    "trained_until": _BEGAN + timedelta(hours=number),
                    "pushed_by": "ci@main",
                    "description": None,
                    "search_text": f"run-{number}\nnightly\n",
                }
                for number in numbers
            ],
        )
        tagged = [{"model": MODEL, "version": number, "key": "team", "value": "search"} for number in numbers]
        connection.execute(insert(version_tags), tagged)
        named = {"model": MODEL, "set_at": _BEGAN, "set_by": "ci@main"}
        connection.execute(
            insert(aliases),
            [named | {"alias": f"alias-{number}", "version": number} for number in range(1, MAX_ALIASES + 1)],
        )


def _fill_webhooks(engine: Engine, size: Size) -> None:
    with engine.begin() as connection:
        hook = {"url": "https://ci.example/hook", "events": ["version.pushed"], "secret": "s" * 43, "failures": 3}
        made = {"created_at": _BEGAN, "created_by": "REGISTRY_TOKEN", "retry_at": _NEVER, "last_error": "HTTP 500"}
        connection.execute(insert(webhooks), [hook | made | {"id": number} for number in range(1, MAX_WEBHOOKS + 1)])
        connection.execute(
            insert(webhook_deliveries),
            [
                {"webhook": number % MAX_WEBHOOKS + 1, "body": "{}" * 200, "created_at": _BEGAN}
                for number in range(size.versions)
            ],
        )


def _version(first: Mapping[str, object], number: int) -> dict[str, object]:
    trained = number % 4 == 0
    manifest = BundleManifest.model_validate(first["manifest"]).model_copy(
        update={"version": str(number), "refreshes": None if trained else "1"}
    )
    return {
        "version": number,
        "sha256": f"{number:064x}",
        "manifest": manifest.model_dump(mode="json"),
        "refreshes": None if trained else 1,
        "created_at": _BEGAN + timedelta(hours=number),
    }


def _lines(best: Mapping[tuple[Size, str], float], small: Size, large: Size) -> Iterator[Result]:
    health = best[large, HEALTH]
    yield Result(f"{HEALTH}: CPU with {large.versions:,} versions", health * 1000, "ms")
    for path in READS:
        cost = best[large, path]
        yield Result(f"{path}: CPU", cost * 1000, "ms")
        most = _MOST_HEALTHS_SEARCHING if path in SEARCHES else _MOST_HEALTHS
        yield Result(f"{path}: beside {HEALTH}", cost / health, "times", Goal(most=most))
        growth = cost / best[small, path]
        yield Result(f"{path}: beside {small.versions:,} versions", growth, "times", Goal(most=_MOST_GROWTH))
    for path in GROWING_READS:
        cost = best[large, path]
        yield Result(f"{path}: CPU", cost * 1000, "ms")
        yield Result(f"{path}: beside {HEALTH}", cost / health, "times", Goal(most=_MOST_HEALTHS_GROWING))


def _memory(resident: Mapping[Size, float], small: Size, large: Size) -> Iterator[Result]:
    yield Result(f"memory with {small.versions:,} versions", resident[small], "MB")
    yield Result("memory that the larger one takes more", resident[large] - resident[small], "MB", Goal(most=_MOST_MB))
