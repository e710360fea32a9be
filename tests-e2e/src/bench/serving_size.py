"""One worker with 100,000 datasets and 1,000,000 users: its memory, its start, and a change of the model."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import httpx

from bench import population
from bench.large_bundle import large_archive
from bench.observed_load import Answer, observe, p99
from bench.own_process import own_process
from bench.results import Goal, Result
from bench.servers import DEFAULT_BUDGETS, LOAD_CORE, StartRecommender, Surroundings, recommender
from localservers.waiting import wait_until
from ranking.testing import FIRST_DATASET_ID
from testkit.fake_registry import FakeRegistry
from testkit.redis_server import RedisServer

DATASETS, USERS = 100_000, 1_000_000
PART = "serving-size: "
VERSIONS = "123"
PER_SECOND = 200
WARM_UP_SECONDS, BEFORE_SECONDS, PER_CHANGE_SECONDS = 3.0, 20.0, 20.0
SLICE_SECONDS = 1.0
# The number of positions that are tried for the borders between slices.
BORDERS = 10
# Time after a change that is included in it, for its after-effects.
SETTLED_SECONDS = 2.0
# While the users are written, Redis begins to rewrite its log, which takes a core for many seconds.
REDIS = {"maxmemory": "3gb", "auto-aof-rewrite-percentage": "0"}


class Change(NamedTuple):
    """The times when another model was deployed and when it first answered (`time.perf_counter`)."""

    began: float
    ended: float


def measure(folder: Path, start_recommender: StartRecommender = recommender) -> list[Result]:
    """Start one worker on a large model, put it under load, and deploy other models of the same size."""
    os.sched_setaffinity(0, {LOAD_CORE - 1})
    registry = FakeRegistry()
    versions = [
        registry.push(version, large_archive(folder / f"{version}.tar.gz", DATASETS, version)) for version in VERSIONS
    ]
    registry.deploy(versions[0])
    registry.start()
    changes = []
    try:
        with RedisServer(folder, REDIS) as server, own_process() as process:
            population.many_users(server.url, USERS)
            began = time.perf_counter()
            with start_recommender(Surroundings(server, registry, folder), "api", DEFAULT_BUDGETS) as api:
                first_start = time.perf_counter() - began
                process.submit(observe, api.port, _queries(WARM_UP_SECONDS), per_second=PER_SECOND).result()
                resident = api.resident()
                paths = _queries(BEFORE_SECONDS + PER_CHANGE_SECONDS * len(versions[1:]))
                load = process.submit(observe, api.port, paths, per_second=PER_SECOND)
                time.sleep(BEFORE_SECONDS)
                for version in versions[1:]:
                    deployed = time.perf_counter()
                    registry.deploy(version)
                    _wait_for(api.port, version["version"])
                    changes.append(Change(deployed, time.perf_counter()))
                    time.sleep(max(0.0, deployed + PER_CHANGE_SECONDS - time.perf_counter()))
                answers = load.result()
                after = api.resident()
            began = time.perf_counter()
            with start_recommender(Surroundings(server, registry, folder), "api", DEFAULT_BUDGETS):
                start = time.perf_counter() - began
    finally:
        registry.stop()
    return [
        Result(PART + "resident memory", resident, "MB", Goal(most=600)),
        Result(PART + f"resident memory after {len(changes)} changes of model", after, "MB", Goal(most=600)),
        Result(PART + "start to ready, model to be downloaded", first_start, "s", Goal(most=10)),
        Result(PART + "start to ready, model on disk", start, "s", Goal(most=10)),
        Result(PART + "deployment to service", max(change.ended - change.began for change in changes), "s"),
        Result(PART + "failed requests", sum(each.level is None for each in answers), "", Goal(most=0)),
        Result(PART + "degraded answers", sum(each.level != 0 for each in answers) / len(answers) * 100, "%"),
        *(replace(result, name=PART + result.name) for result in latencies(answers, changes)),
    ]


def latencies(answers: Sequence[Answer], changes: Sequence[Change]) -> list[Result]:
    """Compare the answers during a change of the model with those before; the worst change counts."""
    before = [each for each in answers if each.due < changes[0].began - SLICE_SECONDS]
    usual = p99(before)
    during = [
        [each for each in answers if change.began <= each.due < change.ended + SETTLED_SECONDS] for change in changes
    ]
    changing = set().union(*during)
    quiet = [each for each in answers if each not in changing]
    slow = max(_slow(each, usual) for each in during)
    noise = _slow(quiet, usual) / (len(quiet) / PER_SECOND) * 100
    return [
        Result("p99 before a change", usual, "ms"),
        Result("p99 during a change", max(map(p99, during)), "ms"),
        Result("time with a p99 of more than twice that", slow, "s", Goal(most=1.0)),
        Result("share of such time without a change", noise, "%"),
    ]


def _slow(answers: Sequence[Answer], usual: float) -> float:
    """Return how long (s) slices had a p99 above twice the usual one (ms).

    The slice borders are where this is smallest: a slow moment that a border splits doesn't count twice.
    """
    ordered = sorted(answers)

    def slow(begin: float) -> float:
        slices = groupby(ordered, key=lambda answer: (answer.due - begin) // SLICE_SECONDS)
        return sum(SLICE_SECONDS for _, slice_ in slices if p99(list(slice_)) > 2 * usual)

    return min(slow(ordered[0].due - SLICE_SECONDS * shift / BORDERS) for shift in range(BORDERS))


def _wait_for(port: int, version: str) -> None:
    # One client for all requests: creating one delays the load.
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        wait_until(
            lambda: bool(client.get("/ready").json()["model_version"] == version),
            within=PER_CHANGE_SECONDS,
            what=f"version {version} is served",
        )


def _queries(seconds: float) -> list[str]:
    return [
        f"/recommend/detail/{FIRST_DATASET_ID + number * 37 % DATASETS}?user_id={number * 101 % USERS + 1}&limit=20"
        for number in range(int(PER_SECOND * seconds))
    ]
