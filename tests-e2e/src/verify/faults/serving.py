"""A private registry and recommender: broken uploads and deployments, a broken model, and a broken Redis."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from contracts.deployments import DeploymentMode, DeploymentRequest, RollbackRequest
from contracts.registry.client import RegistryClient
from contracts.registry.errors import RegistryError, RegistryRejectedError
from contracts.rollouts import RolloutRequest
from localservers.waiting import wait_until
from verify.broken_redis import LATE_SECONDS, BrokenRedis, broken_redis
from verify.bundles import Bundles, damage
from verify.fault_lab import TOKEN, FaultLab, FaultNotFiredError, SideService, free_port
from verify.faults.fault import Fault, Raised

FOLLOW_SECONDS = 30.0
# The registry looks at its rollouts each 15 s.
HOLD_SECONDS = 60.0
MISSING_SOURCES = 3
CONVERGENCE_SECONDS = 3
_IN_REGISTRY = Raised("model-registry", in_request=True)
_IN_API = Raised("recommender-api", in_request=True)


def fire(shop: FaultLab) -> None:
    """See the package."""
    bundles = Bundles(shop.folder / "bundles")
    with broken_redis() as redis, _registry(shop) as registry:
        first = registry.push(bundles.whole())
        registry.deploy(first)
        with _recommender(shop, registry, redis) as api:
            registry.deploy(registry.push(bundles.breaking()))
            # No user is in the canary, but all are in the experiment.
            registry.deploy(registry.push(bundles.whole()), mode="canary", rollout=0.0)
            _serve_a_broken_model(api, bundles)
            _break_redis(api, redis, bundles)
            _damage_what_lies_on_disk(shop.folder / "models", registry, api, first)
        _break_deploys(registry, bundles, first)
        _hold_a_rollout(registry, bundles)
        _lag_behind(registry)
        _break_uploads(registry, bundles)
    _lose_the_model(shop)


class _LabRegistry:
    """A registry of its own; what it must not take is rejected, or the fault did not fire."""

    def __init__(self, side: SideService, artifacts: Path) -> None:
        self.side = side
        self.client = RegistryClient(side.http.request, "ranker")
        self.artifacts = artifacts

    def push(self, archive: Path) -> str:
        with _accepted(f"the upload of {archive.name}"):
            return self.client.push(archive).version

    def deploy(self, version: str, mode: DeploymentMode = "primary", rollout: float | None = None) -> None:
        with _accepted(f"the deploy of {version}"):
            self.client.deploy(DeploymentRequest(version=version, mode=mode, rollout=rollout))

    def fail_to_push(self, archive: Path) -> None:
        with _rejected(f"the upload of {archive.name}"):
            self.client.push(archive)

    def fail_to_deploy(self, version: str) -> None:
        with _rejected(f"the deploy of {version}"):
            self.client.deploy(DeploymentRequest(version=version))

    def roll_back(self) -> None:
        with _accepted("the rollback"):
            self.client.roll_back(RollbackRequest(reason="verify"))

    def stored(self, version: str) -> Path:
        return self.artifacts / "models" / "ranker" / f"{self.sha256(version)}.tar.gz"

    def sha256(self, version: str) -> str:
        return self.client.version(version).sha256


@contextmanager
def _accepted(what: str) -> Iterator[None]:
    try:
        yield
    except RegistryError as error:
        raise FaultNotFiredError(f"{what} failed: {error}") from error


@contextmanager
def _rejected(what: str) -> Iterator[None]:
    try:
        yield
    except RegistryRejectedError:
        return
    raise FaultNotFiredError(f"{what} was accepted")


@contextmanager
def _registry(shop: FaultLab) -> Iterator[_LabRegistry]:
    artifacts = shop.folder / "artifacts"
    variables = {
        "DATABASE_URL": f"sqlite:///{shop.folder}/registry.db",
        "ARTIFACT_URL": str(artifacts),
        "REGISTRY_TOKEN": TOKEN,
        "CONVERGENCE_DEADLINE_SECONDS": str(CONVERGENCE_SECONDS),
        # Nothing answers there; no rollout of this registry gets as far as its clicks.
        "FEATURE_SYNC_URL": f"http://127.0.0.1:{free_port()}",
    }
    with shop.service("model_registry", variables) as side:
        yield _LabRegistry(side, artifacts)


@contextmanager
def _recommender(shop: FaultLab, registry: _LabRegistry, redis: BrokenRedis) -> Iterator[SideService]:
    variables = {
        "REDIS_URL": redis.url,
        "REGISTRY_URL": str(registry.side.http.base_url),
        "REGISTRY_TOKEN": TOKEN,
        "MODEL_POLL_SECONDS": "0.2",
        "MODEL_CACHE_DIR": str(shop.folder / "models"),
        "EVENT_JOURNAL_DIR": str(shop.folder / "journal"),
        # The service waits for a slow answer of Redis, and the answer is then too late for the request.
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


def _damage_what_lies_on_disk(models: Path, registry: _LabRegistry, api: SideService, first: str) -> None:
    damage(models / "bundles" / registry.sha256(first) / "precomputed_items.npy")
    registry.roll_back()
    wait_until(
        lambda: api.get("/hot/trending").json()["model_version"] == first,
        within=FOLLOW_SECONDS,
        what="the recommender has rolled back",
    )


def _break_deploys(registry: _LabRegistry, bundles: Bundles, good: str) -> None:
    for _ in range(MISSING_SOURCES):
        version = registry.push(bundles.whole())
        registry.stored(version).unlink()
        registry.fail_to_deploy(version)
        # Ends the incident, so that the next one is an event of its own, and not a repeat.
        registry.deploy(good)
    version = registry.push(bundles.whole())
    damage(registry.stored(version))
    registry.fail_to_deploy(version)


def _hold_a_rollout(registry: _LabRegistry, bundles: Bundles) -> None:
    """Take the canary away from a rollout, until the registry asks what to do."""
    version = registry.push(bundles.whole())
    with _accepted("the rollout and the end of its canary"):
        registry.client.start_rollout(RolloutRequest(version=version, steps=[1, 100]))
        registry.client.roll_back(RollbackRequest(mode="canary", reason="verify"))
    wait_until(
        lambda: registry.client.rollouts()[0].state == "holding",
        within=HOLD_SECONDS,
        what="the registry asks for a decision",
    )


def _lag_behind(registry: _LabRegistry) -> None:
    """Speak as a replica that serves another version, until the registry has reported it."""
    report = {"version": "9999", "deployment_id": "9999", "state": "serving", "since": "2026-01-01T00:00:00Z"}
    registry.side.http.put("/models/ranker/replicas/verify", json=report).raise_for_status()
    wait_until(
        lambda: "verify" in registry.side.http.get("/health").json()["checks"]["convergence"]["detail"],
        within=FOLLOW_SECONDS,
        what="the registry misses a replica",
    )


def _break_uploads(registry: _LabRegistry, bundles: Bundles) -> None:
    registry.fail_to_push(bundles.malformed())
    # The store is gone, and what stands in its place cannot hold anything.
    shutil.rmtree(registry.artifacts)
    registry.artifacts.touch()
    registry.fail_to_push(bundles.whole())


def _lose_the_model(shop: FaultLab) -> None:
    """Start a replica with a saved deployment, but without its bundle and without a registry."""
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
            what="the recommender could not reach its registry",
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
        "model.not_converged": Raised("model-registry"),
        "model.rollout_needs_decision": Raised("model-registry"),
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
