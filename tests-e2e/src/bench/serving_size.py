"""What a marketplace of 100,000 datasets and 1,000,000 users asks of one worker: memory, start, change of model."""

import os
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import httpx

from bench import population
from bench.large_bundle import large_archive
from bench.observed_load import Answer, observe, p99
from bench.own_process import own_process
from bench.results import Goal, Result
from bench.servers import LOAD_CORE, SHIPPED, Surroundings, recommender
from native.waiting import wait_until
from ranking.testing import FIRST_DATASET_ID
from testkit.redis_server import RedisServer
from testkit.registry_stand_in import RegistryStandIn

DATASETS, USERS = 100_000, 1_000_000
PER_SECOND = 200
WARM_UP_SECONDS, BEFORE_SECONDS, AFTER_SECONDS = 3.0, 8.0, 40.0
SLICE_SECONDS = 1.0


def measure(folder: Path) -> list[Result]:
    """Start one worker on a large model, put it under load, and deploy another of the same size."""
    os.sched_setaffinity(0, {LOAD_CORE - 1})
    registry = RegistryStandIn()
    versions = [
        registry.push(version, large_archive(folder / f"{version}.tar.gz", DATASETS, version)) for version in "12"
    ]
    registry.deploy(versions[0])
    registry.start()
    try:
        with RedisServer(folder, {"maxmemory": "3gb"}) as server, own_process() as process:
            population.many_users(server.url, USERS)
            began = time.perf_counter()
            with recommender(Surroundings(server, registry, folder), "api", SHIPPED) as api:
                first_start = time.perf_counter() - began
                process.submit(observe, api.port, _questions(WARM_UP_SECONDS), per_second=PER_SECOND).result()
                resident = api.resident()
                questions = _questions(BEFORE_SECONDS + AFTER_SECONDS)
                load = process.submit(observe, api.port, questions, per_second=PER_SECOND)
                time.sleep(BEFORE_SECONDS)
                deployed = time.perf_counter()
                registry.deploy(versions[1])
                _wait_for(api.port, "2")
                swapped = time.perf_counter() - deployed
                answers = load.result()
                after = api.resident()
            began = time.perf_counter()
            with recommender(Surroundings(server, registry, folder), "api", SHIPPED):
                start = time.perf_counter() - began
    finally:
        registry.stop()
    before = [each for each in answers if each.due < deployed - SLICE_SECONDS]
    during = [each for each in answers if each.due >= deployed]
    part = "serving-size: "
    return [
        Result(part + "resident memory", resident, "MB", Goal(most=600)),
        Result(part + "resident memory after a change of model", after, "MB", Goal(most=600)),
        Result(part + "start to ready, model to be downloaded", first_start, "s", Goal(most=10)),
        Result(part + "start to ready, model on disk", start, "s", Goal(most=10)),
        Result(part + "deployment to service", swapped, "s"),
        Result(part + "failed requests", sum(each.level is None for each in answers), "", Goal(most=0)),
        Result(part + "degraded answers", sum(each.level != 0 for each in answers) / len(answers) * 100, "%"),
        Result(part + "p99 before the change", p99(before), "ms"),
        Result(part + "p99 during the change", p99(during), "ms"),
        Result(part + "time with a p99 of more than twice that", _slow(during, p99(before)), "s", Goal(most=1.0)),
    ]


def _slow(answers: Sequence[Answer], usual: float) -> float:
    """Return how long (s) slices had a p99 of more than twice the usual one (ms)."""
    slices = groupby(sorted(answers), key=lambda answer: answer.due // SLICE_SECONDS)
    return sum(SLICE_SECONDS for _, slice_ in slices if p99(list(slice_)) > 2 * usual)


def _wait_for(port: int, version: str) -> None:
    # One client for all: to make one takes the load's core for a while.
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        wait_until(
            lambda: bool(client.get("/ready").json()["model_version"] == version),
            within=AFTER_SECONDS,
            what=f"version {version} serves",
        )


def _questions(seconds: float) -> list[str]:
    return [
        f"/recommend/detail/{FIRST_DATASET_ID + number * 37 % DATASETS}?user_id={number * 101 % USERS + 1}&limit=20"
        for number in range(int(PER_SECOND * seconds))
    ]
