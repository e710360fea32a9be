"""10,000 answers of every endpoint and level after datasets were withdrawn: none shows one, whatever Redis does."""

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import httpx
import redis

import feature_sync.settings
from bench.results import Goal, Result
from localservers.waiting import wait_until
from prove.services import SERVICES, running
from ranking.testing import FIRST_DATASET_ID, Size, tiny_archive
from testkit.fake_registry import FakeRegistry
from testkit.redis_server import RedisServer

_SIZE = Size(datasets=400)
_IDS = range(FIRST_DATASET_ID, FIRST_DATASET_ID + _SIZE.datasets)
# Few enough that many queries are repeated.
_ANCHORS = _IDS[::5]
_ANSWERS = 10_000
_WARM_UP = 1_000
_DELETED, _BY_OPERATOR = 60, 20
# The proof uses a shorter interval; the measured time beyond it is added to the default.
_POLL_SECONDS = 2.0
_DEFAULT_POLL_SECONDS = float(feature_sync.settings.Settings.model_fields["deleted_poll_seconds"].default)
_GOAL_SECONDS = 120
_TOKEN = "token-of-the-proof"
_AUTHORIZED = {"Authorization": f"Bearer {_TOKEN}"}
_SERVICE = {service.name: service for service in SERVICES}


@dataclass
class _Tally:
    """The answers: datasets by how often they were shown, answers by level, and those that show `withdrawn`."""

    withdrawn: set[int] = field(default_factory=set)
    shown: Counter[int] = field(default_factory=Counter)
    levels: Counter[int] = field(default_factory=Counter)
    endpoints: Counter[str] = field(default_factory=Counter)
    not_found: int = 0
    bad: int = 0

    def ask(self, client: httpx.Client, path: str) -> None:
        """Send a request and count its answer."""
        answer = client.get(path)
        endpoint, about = _endpoint(path)
        if answer.status_code == httpx.codes.NOT_FOUND and about in self.withdrawn:
            self.not_found += 1
            return
        body = answer.raise_for_status().json()
        ids = {item["dataset_id"] for item in body["items"]}
        self.shown.update(ids)
        self.levels[body["fallback_level"]] += 1
        self.endpoints[endpoint] += 1
        self.bad += about in self.withdrawn or not ids.isdisjoint(self.withdrawn)

    @property
    def answers(self) -> int:
        """The number of answers; a 404 doesn't count."""
        return sum(self.levels.values())


def prove(folder: Path, seed: int) -> list[Result]:
    """Withdraw by business database and operator, then send requests in every state of Redis and the replicas."""
    paths = _queries(random.Random(seed))
    with ExitStack() as stack:
        registry = FakeRegistry()
        registry.deploy(registry.push("1", tiny_archive(folder / "bundle.tar.gz", size=_SIZE)))
        registry.start()
        stack.callback(registry.stop)
        cache = stack.enter_context(RedisServer(folder))
        business = _make_business(folder / "business.db")
        worker = stack.enter_context(_worker(folder, cache, business))
        shared = {"REDIS_URL": cache.url, "REGISTRY_URL": registry.url, "EVENTS_TOKEN": _TOKEN}
        with _replica(folder / "first", shared) as client, _replica(folder / "late", shared | _LATE) as late:
            before = _count_answers([client], paths, _WARM_UP)
            withdrawn = [dataset_id for dataset_id, _ in before.shown.most_common(_DELETED + _BY_OPERATOR)]
            _make_hot(client, withdrawn)
            seconds = _withdraw(client, late, worker, business, withdrawn)
            tally = _Tally(withdrawn=set(withdrawn))
            _ask(tally, [client, late], paths, _ANSWERS // 4)
            cache.kill()
            _ask(tally, [client, late], paths, _ANSWERS // 4)
        with _replica(folder / "again", shared | {"MODEL_CACHE_DIR": str(folder / "first" / "models")}) as client:
            _ask(tally, [client], paths, _ANSWERS // 4)
            cache.restart()
            with redis.Redis.from_url(cache.url) as plain:
                plain.flushall()
            _ask(tally, [client], paths, _ANSWERS - tally.answers)
    return _results(before, tally, seconds)


# A replica whose main path always exceeds its budget answers from level 1 on.
_LATE = {"REQUEST_BUDGET_MS": "0.001"}


def _results(before: _Tally, tally: _Tally, seconds: float) -> list[Result]:
    worst = _DEFAULT_POLL_SECONDS + max(seconds - _POLL_SECONDS, 0.0)
    return [
        Result("withdrawal: withdrawn datasets", len(tally.withdrawn), ""),
        Result(
            "answers before that showed one of them",
            sum(before.shown[id_] for id_ in tally.withdrawn),
            "",
            Goal(least=1),
        ),
        Result("default poll interval of the business database", _DEFAULT_POLL_SECONDS, "s"),
        Result("longest time until no replica shows one", worst, "s", Goal(most=_GOAL_SECONDS)),
        Result("answers after", tally.answers, "", Goal(least=_ANSWERS)),
        *(Result(f"of them at level {level}", tally.levels[level], "", Goal(least=1)) for level in range(4)),
        *(Result(f"of them by {name}", count, "", Goal(least=1)) for name, count in sorted(tally.endpoints.items())),
        Result("besides, 404 about a withdrawn dataset", tally.not_found, "", Goal(least=1)),
        Result("of them with a withdrawn dataset", tally.bad, "", Goal(most=0)),
    ]


def _count_answers(clients: list[httpx.Client], paths: Iterator[str], count: int) -> _Tally:
    tally = _Tally()
    _ask(tally, clients, paths, count)
    return tally


def _ask(tally: _Tally, clients: list[httpx.Client], paths: Iterator[str], count: int) -> None:
    """Send requests until this many more are answered, to each replica in turn."""
    wanted, turns = tally.answers + count, cycle(clients)
    while tally.answers < wanted:
        tally.ask(next(turns), next(paths))


def _endpoint(path: str) -> tuple[str, int | None]:
    """Return the endpoint of a request, and its dataset."""
    route = path.partition("?")[0]
    if route == "/hot/trending":
        return route, None
    endpoint, _, asked = route.rpartition("/")
    return endpoint, None if endpoint == "/recommend/user" else int(asked)


def _queries(draw: random.Random) -> Iterator[str]:
    """Yield requests to all endpoints."""
    options = ("limit=10", "limit=50", "limit=10&max_price=100000", "limit=5&explain=true", "limit=20&exclude=101,102")
    while True:
        anchor, user, option = draw.choice(_ANCHORS), draw.randint(1, 30), draw.choice(options)
        yield draw.choice(
            (
                f"/similar/{anchor}?{option}",
                f"/recommend/detail/{anchor}?{option}",
                f"/recommend/detail/{anchor}?{option}&user_id={user}",
                f"/recommend/user/{user}?{option}",
                f"/hot/trending?{option}&timeframe={draw.choice(('1h', '24h'))}",
            )
        )


def _make_business(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE datasets (id INTEGER PRIMARY KEY, is_deleted BOOLEAN NOT NULL)")
        connection.executemany("INSERT INTO datasets VALUES (?, false)", [(dataset_id,) for dataset_id in _IDS])
    return path


@contextmanager
def _worker(folder: Path, cache: RedisServer, business: Path) -> Iterator[httpx.Client]:
    settings = {
        "ADMIN_TOKEN": _TOKEN,
        "BUSINESS_DATABASE_URL": f"sqlite:///{business}",
        "DELETED_POLL_SECONDS": str(_POLL_SECONDS),
    }
    with (
        running(_SERVICE["feature-sync"], folder / "feature-sync", cache.url, settings) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{process.port}", headers=_AUTHORIZED, timeout=20) as client,
    ):
        yield client


@contextmanager
def _replica(folder: Path, settings: dict[str, str]) -> Iterator[httpx.Client]:
    with (
        running(_SERVICE["recommender-api"], folder, settings["REDIS_URL"], settings) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{process.port}", timeout=20) as client,
    ):
        wait_until(lambda: client.get("/ready").is_success, within=60, what="a model is loaded")
        yield client


def _make_hot(client: httpx.Client, ids: list[int]) -> None:
    """Let users buy them, so that they lead the live trend and are in histories."""
    events = [
        {
            "event_id": f"bought-{dataset_id}",
            "type": "purchase",
            "user_id": dataset_id % 30 + 1,
            "dataset_id": dataset_id,
            "ts": datetime.now(UTC).isoformat(),
        }
        for dataset_id in ids
    ]
    client.post("/events", json={"events": events}, headers=_AUTHORIZED).raise_for_status()
    wait_until(
        lambda: ids[0] in {item["dataset_id"] for item in client.get("/hot/trending?limit=100").json()["items"]},
        within=20,
        what="they are trending",
    )


def _withdraw(client: httpx.Client, late: httpx.Client, worker: httpx.Client, business: Path, ids: list[int]) -> float:
    """Withdraw them, and return the seconds from the change in the business database until both replicas know."""
    for dataset_id in ids[_DELETED:]:
        worker.post(f"/datasets/{dataset_id}/withdraw").raise_for_status()
    with closing(sqlite3.connect(business)) as connection, connection:
        marks = ", ".join("?" * _DELETED)
        connection.execute(f"UPDATE datasets SET is_deleted = true WHERE id IN ({marks})", ids[:_DELETED])
    began = time.monotonic()
    for replica in (client, late):
        wait_until(
            lambda replica=replica: f"recommender_withdrawn_datasets {len(ids)}.0" in replica.get("/metrics").text,  # type: ignore[misc]
            within=_GOAL_SECONDS,
            every=0.05,
            what="the replica knows",
        )
    return time.monotonic() - began
