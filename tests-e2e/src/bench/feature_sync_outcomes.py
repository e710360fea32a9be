"""What an exposure and an attributed click cost: the worker's part and PostgreSQL's."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import psutil

import feature_sync
from bench.results import Result
from bench.servers import Server
from contracts.events import BehaviorEvent, Exposure, read_entry
from feature_sync.events.log import EventLog
from feature_sync.events.tables import SCHEMA
from feature_sync.outcomes.attribution import Attribution
from servicekit.database import migrate, open_database
from testkit.postgres import PostgresServer, running_server

ANSWERS, DATASETS, USERS = 20_000, 20, 4_000
BATCH = 1000
_Item = TypeVar("_Item")


def measure_outcomes() -> list[Result]:
    """Log the exposures of 20,000 answers and a click on each, count the exposures, and attribute the clicks."""
    with running_server() as server:
        server.cluster.ensure_database("recsys")
        engine = open_database(server.cluster.url("recsys"), SCHEMA)
        migrate(engine, SCHEMA, Path(feature_sync.__file__).parent / "migrations")
        log, attribution = EventLog(engine), Attribution(engine, 0.0, lambda: datetime.now(UTC))
        bodies = [{b"exposures": _exposure(number).model_dump_json().encode()} for number in range(ANSWERS)]
        # The first statements of a connection are planned and compiled.
        log.add([], exposures=[_exposure(number) for number in range(ANSWERS, ANSWERS + BATCH)])
        results: list[Result] = []
        with _measured(server, "an exposure row", results):
            for batch in _batches(bodies):
                log.add([], exposures=[each for fields in batch if isinstance(each := read_entry(fields), Exposure)])
        with _measured(server, "counting an exposure", results):
            while not attribution.count_exposures().is_all:
                pass
        for clicks in _batches([_click(number) for number in range(ANSWERS)]):
            log.add(clicks)
        attributed = 0
        with _measured(server, "an attribution", results):
            done = attribution.attribute()
            while done.events:
                attributed += done.events["click", "attributed"]
                done = attribution.attribute()
        engine.dispose()
        if attributed != ANSWERS:
            raise RuntimeError(f"{attributed} of {ANSWERS} clicks were attributed")
        return results


def _exposure(number: int) -> Exposure:
    datasets = [(number * 7 + place) % 5000 + 1 for place in range(DATASETS)]
    return Exposure(
        exposure_id=f"req_{number:012x}",
        user_id=number % USERS + 1,
        dataset_ids=datasets,
        request_id=f"req_{number:012x}",
        endpoint="user",
        model_version="12",
        model_variant="primary",
        fallback_level=0,
        scores=[0.812 - place / 100 for place in range(DATASETS)],
        channels=["behavior+content"] * DATASETS,
        ts=datetime.now(UTC),
    )


def _click(number: int) -> BehaviorEvent:
    exposure = _exposure(number)
    return BehaviorEvent(
        event_id=f"click-{number}",
        type="click",
        user_id=number % USERS + 1,
        dataset_id=exposure.dataset_ids[3],
        request_id=exposure.request_id,
        ts=datetime.now(UTC),
    )


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


@contextmanager
def _measured(server: PostgresServer, name: str, results: list[Result]) -> Iterator[None]:
    """Add the CPU time an answer (µs) of this process and of PostgreSQL."""
    before = time.process_time(), cpu_of(server)
    yield
    spent = time.process_time() - before[0], cpu_of(server) - before[1]
    part = f"feature-sync: CPU of {name}: "
    results += [
        Result(part + where, seconds / ANSWERS * 1e6, "µs")
        for where, seconds in zip(("worker", "PostgreSQL"), spent, strict=True)
    ]


def cpu_of(server: PostgresServer) -> float:
    """CPU time of PostgreSQL's processes that are running now (s)."""
    postgres = psutil.Process(server.pid)
    return sum(Server(0, process).cpu() for process in (postgres, *postgres.children()))
