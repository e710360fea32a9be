"""A marketplace whose ids are UUIDs, from its own files to an answer that reflects a user's latest actions."""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import httpx

from bench.results import Goal, Result
from localservers.waiting import wait_until
from prove.services import SERVICES, running
from prove.source_servers import in_mariadb, in_postgresql_views
from testkit.redis_server import RedisServer

_TOPICS = ("weather radar", "road traffic", "power grid", "retail prices", "air quality", "crop yields")
_DATASETS = 240
_USERS = 160
_EVENTS_OF_A_USER = 40
_DAYS = 60
_PIPELINE_SECONDS = 600
_READY_SECONDS = 60
_LIVE_SECONDS = 10
_TOKENS = {name: f"{name.lower()}-of-the-proof" for name in ("REGISTRY_TOKEN", "ADMIN_TOKEN", "EVENTS_TOKEN")}


@dataclass(frozen=True)
class Marketplace:
    """The marketplace by UUID: the topic of each dataset, and the interactions."""

    datasets: Mapping[str, str]
    interactions: list[tuple[str, str, str, datetime]]

    def about(self, topic: str) -> list[str]:
        """Return the datasets of a topic."""
        return [name for name, of in self.datasets.items() if of == topic]


# Loads a marketplace to a place where the pipeline can read it, and returns the settings for it.
Source = Callable[[Marketplace, Path], AbstractContextManager[Mapping[str, str]]]


def prove(folder: Path, seed: int) -> list[Result]:
    """Return the results for each source."""
    marketplace = make_marketplace(Random(seed), datetime.now(UTC))
    results: list[Result] = []
    for name, source in SOURCES.items():
        place = folder / name
        place.mkdir()
        with RedisServer(place) as redis:
            results += _prove_source(
                name, source, marketplace, folder=place, redis_url=redis.url, random=Random(seed + 1)
            )
    return results


def make_marketplace(random: Random, end: datetime) -> Marketplace:
    """Return datasets of a few topics, and users who are interested in one topic each."""
    datasets = {_uuid(random): _TOPICS[number % len(_TOPICS)] for number in range(_DATASETS)}
    names = list(datasets)
    interactions = []
    for number in range(_USERS):
        user = _uuid(random)
        for _ in range(_EVENTS_OF_A_USER):
            # One interaction in ten is outside the topic.
            place = random.randrange(_DATASETS // len(_TOPICS)) * len(_TOPICS) + number % len(_TOPICS)
            name = random.choice(names) if random.random() < 0.1 else names[place]
            kind = random.choice(("view", "view", "favorite", "purchase"))
            interactions.append((user, name, kind, end - timedelta(seconds=random.randrange(_DAYS * 86_400))))
    return Marketplace(datasets, interactions)


@contextmanager
def in_csv(marketplace: Marketplace, folder: Path) -> Iterator[Mapping[str, str]]:
    """Import the marketplace from CSV files into a business database."""
    with (folder / "datasets.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(name, f"{topic} {number}", topic) for number, (name, topic) in enumerate(marketplace.datasets.items())]
        csv.writer(file).writerows([("id", "title", "tags"), *rows])
    with (folder / "interactions.csv").open("w", encoding="utf-8", newline="") as file:
        done = [(user, name, kind, ts.isoformat()) for user, name, kind, ts in marketplace.interactions]
        csv.writer(file).writerows([("user_id", "dataset_id", "type", "ts"), *done])
    settings = {"BUSINESS_DATABASE_URL": f"sqlite:///{folder}/business.db"}
    _pipeline({**_environment(), **settings}, folder, "import", "--source", "csv", "--dir", str(folder))
    yield settings


SOURCES: dict[str, Source] = {"csv": in_csv, "mariadb": in_mariadb, "postgresql-view": in_postgresql_views}


def _prove_source(
    name: str, source: Source, marketplace: Marketplace, *, folder: Path, redis_url: str, random: Random
) -> list[Result]:
    recommender, registry, sync, _ = SERVICES
    artifacts = {"ARTIFACT_URL": str(folder / "artifacts")}
    began = time.monotonic()
    with (
        source(marketplace, folder) as settings,
        running(registry, folder / "registry", redis_url, _TOKENS | artifacts) as registry_process,
        running(sync, folder / "sync", redis_url, _TOKENS | artifacts) as sync_process,
    ):
        addresses = {
            "REGISTRY_URL": f"http://127.0.0.1:{registry_process.port}",
            "FEATURE_SYNC_URL": f"http://127.0.0.1:{sync_process.port}",
        }
        log = {"DATABASE_URL": f"sqlite:///{folder / 'sync'}/recsys.db"}
        _pipeline({**_environment(), **_TOKENS, **artifacts, **addresses, **log, **settings}, folder, "run")
        trained = time.monotonic() - began
        with (
            running(recommender, folder / "recommender", redis_url, _TOKENS | addresses) as process,
            httpx.Client(base_url=f"http://127.0.0.1:{process.port}", timeout=30) as api,
        ):
            wait_until(lambda: api.get("/ready").is_success, within=_READY_SECONDS, what="a model is loaded")
            return [Result(f"{name}: load and train", trained, "s"), *_ask(name, api, marketplace, random)]


def _ask(name: str, api: httpx.Client, marketplace: Marketplace, random: Random) -> list[Result]:
    asked = random.sample(sorted(marketplace.datasets), 20)
    answers = [api.get(f"/similar/{dataset}").raise_for_status().json() for dataset in asked]
    items = [(dataset, item) for dataset, answer in zip(asked, answers, strict=True) for item in answer["items"]]
    nameless = sum(item.get("external_id") not in marketplace.datasets for _, item in items)
    named = sum(answer["external_id"] == dataset for dataset, answer in zip(asked, answers, strict=True))
    of_topic = [marketplace.datasets.get(item["external_id"]) == marketplace.datasets[of] for of, item in items]
    return [
        Result(f"{name}: share of /similar/<uuid> answers with the uuid", named / len(asked), "", Goal(least=1)),
        Result(f"{name}: items without their uuid", nameless, "", Goal(most=0)),
        Result(f"{name}: share of items of the dataset's topic", sum(of_topic) / len(items), "", Goal(least=0.5)),
        *_post_events(name, api, marketplace, random),
    ]


def _post_events(name: str, api: httpx.Client, marketplace: Marketplace, random: Random) -> list[Result]:
    """Post the events of a new user, and wait for an answer that reflects them."""
    user, topic = _uuid(random), _TOPICS[0]
    seen = random.sample(marketplace.about(topic), 5)
    before = _share_of(topic, _shown_items(api, user), marketplace)
    events = [
        {"event_id": f"proof-{number}", "type": "purchase", "user_id": user, "dataset_id": dataset, "ts": _now()}
        for number, dataset in enumerate(seen)
    ]
    began = time.monotonic()
    receipt = api.post(
        "/events", json={"events": events}, headers={"Authorization": f"Bearer {_TOKENS['EVENTS_TOKEN']}"}
    ).raise_for_status()
    wait_until(
        lambda: not set(seen) & set(shown := _shown_items(api, user)) and _share_of(topic, shown, marketplace) > before,
        within=_LIVE_SECONDS,
        what="the answer reflects the user's events",
    )
    took = time.monotonic() - began
    shown = _shown_items(api, user)
    return [
        Result(f"{name}: events accepted", receipt.json()["accepted"], "", Goal(least=len(events))),
        Result(f"{name}: time until the answer reflects them", took, "s", Goal(most=5)),
        Result(f"{name}: share of items of the user's topic before", before, ""),
        Result(
            f"{name}: share of items of the user's topic after",
            _share_of(topic, shown, marketplace),
            "",
            Goal(least=0.5),
        ),
    ]


def _shown_items(api: httpx.Client, user: str) -> list[str]:
    answer = api.get(f"/recommend/user/{user}").raise_for_status().json()
    if answer["external_id"] != user:
        raise ValueError(f"an answer to {user} names {answer['external_id']}")
    return [item["external_id"] for item in answer["items"]]


def _share_of(topic: str, shown: list[str], marketplace: Marketplace) -> float:
    return sum(marketplace.datasets[name] == topic for name in shown) / max(1, len(shown))


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "ENVIRONMENT": "test"}


def _pipeline(environment: Mapping[str, str], folder: Path, *arguments: str) -> None:
    """Run one command of the pipeline; its output goes to a file."""
    with (folder / "pipeline.log").open("ab") as log:
        subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            env=dict(environment),
            cwd=folder,
            stdout=log,
            stderr=log,
            timeout=_PIPELINE_SECONDS,
            check=True,
        )


def _uuid(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128), version=4))


def _now() -> str:
    return datetime.now(UTC).isoformat()
