"""A registry and a recommender of their own: broken uploads and deploys, a broken model, and a broken Redis."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from contracts.checksums import sha256_of
from localservers.waiting import wait_until
from verify.broken_redis import LATE_SECONDS, BrokenRedis, broken_redis
from verify.bundles import Bundles, damage
from verify.fault_lab import TOKEN, FaultLab, FaultNotFiredError, SideService, free_port
from verify.faults.fault import Fault, Raised

FOLLOW_SECONDS = 30.0
MISSING_SOURCES = 3
_VERSIONS = "/models/ranker/versions"
_IN_REGISTRY = Raised("model-registry", in_request=True)
_IN_API = Raised("recommender-api", in_request=True)


def fire(shop: FaultLab) -> None:
    """See the module."""
    bundles = Bundles(shop.folder / "bundles")
    with broken_redis() as redis, _registry(shop) as registry:
        first = registry.push(bundles.whole())
        registry.deploy(first)
        with _recommender(shop, registry, redis) as api:
            registry.deploy(registry.push(bundles.breaking()))
            # Nobody is in the canary, but everyone is in the experiment.
            registry.deploy(registry.push(bundles.whole()), mode="canary", rollout=0.0)
            _serve_a_broken_model(api, bundles)
            _break_redis(api, redis, bundles)
            _damage_what_lies_on_disk(shop.folder / "models", registry, api, first)
        _break_deploys(registry, bundles, first)
        _break_uploads(registry, bundles)
    _lose_the_model(shop)


class _Registry:
    def __init__(self, side: SideService, artifacts: Path) -> None:
        self.side = side
        self.artifacts = artifacts

    def push(self, archive: Path, *, accepted: bool = True) -> str:
        with archive.open("rb") as content:
            answer = self.side.http.post(
                _VERSIONS,
                files={"bundle": ("bundle.tar.gz", content, "application/gzip")},
                data={"sha256": sha256_of(archive)},
            )
        _must(answer.is_success == accepted, f"the upload of {archive.name} was answered {answer.status_code}")
        return str(answer.json().get("version"))

    def deploy(self, version: str, *, accepted: bool = True, **how: object) -> None:
        answer = self.side.http.post("/models/ranker/deployments", json={"version": version, **how})
        _must(answer.is_success == accepted, f"the deploy of {version} was answered {answer.status_code}")

    def stored(self, version: str) -> Path:
        return self.artifacts / "models" / "ranker" / f"{self.sha256(version)}.tar.gz"

    def sha256(self, version: str) -> str:
        return str(self.side.get(f"{_VERSIONS}/{version}").json()["sha256"])


@contextmanager
def _registry(shop: FaultLab) -> Iterator[_Registry]:
    artifacts = shop.folder / "artifacts"
    variables = {
        "DATABASE_URL": f"sqlite:///{shop.folder}/registry.db",
        "ARTIFACT_URL": str(artifacts),
        "REGISTRY_TOKEN": TOKEN,
    }
    with shop.service("model_registry", variables) as side:
        yield _Registry(side, artifacts)


@contextmanager
def _recommender(shop: FaultLab, registry: _Registry, redis: BrokenRedis) -> Iterator[SideService]:
    variables = {
        "REDIS_URL": redis.url,
        "REGISTRY_URL": str(registry.side.http.base_url),
        "REGISTRY_TOKEN": TOKEN,
        "MODEL_POLL_SECONDS": "0.2",
        "MODEL_CACHE_DIR": str(shop.folder / "models"),
        "EVENT_JOURNAL_DIR": str(shop.folder / "journal"),
        # A late answer of Redis is one that it waits for and that is then too late for the request.
        "REDIS_BUDGET_MS": str(LATE_SECONDS * 4000),
        "REQUEST_BUDGET_MS": str(LATE_SECONDS * 700),
    }
    with shop.service("recommender_api", variables, ready="/ready") as side:
        yield side


def _serve_a_broken_model(api: SideService, bundles: Bundles) -> None:
    dataset = bundles.breaking_dataset
    wait_until(
        lambda: _experiment(api) == "control",
        within=FOLLOW_SECONDS,
        what="the recommender has the broken model and its canary",
    )
    api.get(f"/similar/{dataset}")
    api.get(f"/recommend/detail/{dataset}?user_id=7")


def _break_redis(api: SideService, redis: BrokenRedis, bundles: Bundles) -> None:
    dataset = bundles.dataset
    redis.mode = "late"
    api.get(f"/similar/{dataset}")
    api.get(f"/recommend/detail/{dataset}?user_id=7")
    redis.mode = "refusing"
    api.get(f"/similar/{dataset}")
    redis.go_down()
    api.get(f"/similar/{dataset}")
    api.get(f"/similar/{bundles.cold_dataset}")


def _damage_what_lies_on_disk(models: Path, registry: _Registry, api: SideService, first: str) -> None:
    damage(models / "bundles" / registry.sha256(first) / "precomputed_items.npy")
    rolled_back = registry.side.http.post("/models/ranker/rollback", json={"reason": "verify"})
    _must(rolled_back.is_success, f"the rollback was answered {rolled_back.status_code}")
    wait_until(
        lambda: api.get("/hot/trending").json()["model_version"] == first,
        within=FOLLOW_SECONDS,
        what="the recommender has rolled back",
    )


def _break_deploys(registry: _Registry, bundles: Bundles, good: str) -> None:
    for _ in range(MISSING_SOURCES):
        version = registry.push(bundles.whole())
        registry.stored(version).unlink()
        registry.deploy(version, accepted=False)
        # Ends the incident, so that the next one is an event of its own, and not a repeat.
        registry.deploy(good)
    version = registry.push(bundles.whole())
    damage(registry.stored(version))
    registry.deploy(version, accepted=False)


def _break_uploads(registry: _Registry, bundles: Bundles) -> None:
    registry.push(bundles.malformed(), accepted=False)
    # The store is gone, and what stands in its place cannot hold anything.
    shutil.rmtree(registry.artifacts)
    registry.artifacts.touch()
    registry.push(bundles.whole(), accepted=False)


def _lose_the_model(shop: FaultLab) -> None:
    """Start a replica that remembers what it served, without the bundle and without a registry."""
    models = shop.folder / "models-without-bundles"
    models.mkdir()
    shutil.copyfile(shop.folder / "models" / "active.json", models / "active.json")
    variables = {
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "REGISTRY_URL": f"http://127.0.0.1:{free_port()}",
        "REGISTRY_TOKEN": TOKEN,
        "MODEL_CACHE_DIR": str(models),
        "EVENT_JOURNAL_DIR": str(shop.folder / "journal-without-bundles"),
    }
    with shop.service("recommender_api", variables) as side:
        wait_until(
            lambda: "registry" in side.http.get("/ready").text,
            within=FOLLOW_SECONDS,
            what="the recommender has missed its registry",
        )
        answer = side.http.get("/hot/trending")
        _must(answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE, f"an answer without a model: {answer.status_code}")


def _experiment(api: SideService) -> str | None:
    variant: str | None = api.get("/recommend/user/7").json()["experiment_variant"]
    return variant


def _must(condition: bool, otherwise: str) -> None:
    if not condition:
        raise FaultNotFiredError(otherwise)


FAULT = Fault(
    "serving",
    {
        "redis.connection_failed": _IN_API,
        "redis.unexpected_error": _IN_API,
        "model.registry_parse_failed": _IN_REGISTRY,
        "model.source_not_found": _IN_REGISTRY,
        "model.deployment_failed": _IN_REGISTRY,
        "fallback.precomputed_load_failed": Raised("recommender-api"),
        "fallback.redis_failed": _IN_API,
        "fallback.precomputed_used": _IN_API,
        "fallback.static_popular_used": _IN_API,
        "api.unavailable": Raised("recommender-api"),
        "api.unhandled": _IN_REGISTRY,
        "api.similar_timeout": _IN_API,
        "api.similar_failed": _IN_API,
        "api.detail_timeout": _IN_API,
        "api.detail_failed": _IN_API,
    },
    fire,
)
