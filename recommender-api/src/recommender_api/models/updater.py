"""Keeps what this replica serves in step with the registry; whatever fails, what was active stays active."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import monitoring
from contracts.bundle import MalformedBundleError, MalformedManifestError
from contracts.checksums import ChecksumError
from contracts.deployments import DeploymentStage
from recommender_api.models.bundle_check import check_bundle
from recommender_api.models.bundle_fetch import (
    BundleNotFoundError,
    ChecksumMismatchError,
    RegistryError,
    RegistryUnreachableError,
)
from recommender_api.models.cache import BundleCache
from recommender_api.models.deployments import ActiveDeployments, Deployment
from recommender_api.models.loading import UnusableModelError, load_model
from recommender_api.models.low_priority_thread import LowPriorityThread
from recommender_api.models.malloc import trim_heap
from recommender_api.models.registry import MalformedDeploymentError, Registry
from recommender_api.models.serving import LoadedModel, Models, Serving
from recommender_api.models.subprocess_runner import run_in_subprocess

_log = logging.getLogger(__name__)

# A deployment that can't be activated is tried again, ever more seldom: its cause may be a network that comes back.
RETRY_SECONDS = (1.0, 5.0, 30.0, 60.0)
REPLICA_REPORT_SECONDS = 30.0


class ActivationError(Exception):
    """A deployed version can't be served by this replica; `stage` says at which step it failed."""

    def __init__(self, deployment: Deployment, stage: DeploymentStage, message: str) -> None:
        super().__init__(f"version {deployment.version}: {stage}: {message}")
        self.deployment = deployment
        self.stage = stage


@dataclass(frozen=True)
class _Failure:
    wanted: ActiveDeployments | Deployment
    error: ActivationError
    attempts: int
    again_at: float


class Updater:
    """One step of `poll` asks the registry and follows it; `start` begins with what lies on the disk.

    `prepare` is called with what is about to be in service, in another thread; `on_change` after it is.
    """

    def __init__(
        self,
        models: Models,
        registry: Registry,
        cache: BundleCache,
        *,
        model_name: str,
        replica_id: str,
        prepare: Callable[[Serving], None] = lambda _: None,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.registry_error: RegistryError | None = None
        # Whether the registry has answered since the start.
        self.registry_answered = False
        # Whether an earlier process left a model here to be served.
        self.had_model = False
        self._models = models
        self._registry = registry
        self._cache = cache
        self._model_name = model_name
        self._replica_id = replica_id
        self._prepare = prepare
        self._on_change = on_change
        self._clock = clock
        self._now = now
        self._etag: str | None = None
        self._active: ActiveDeployments | None = None
        self._failure: _Failure | None = None
        self._shadow_failure: _Failure | None = None
        self._reported_at = float("-inf")
        self._lock = asyncio.Lock()
        self._behind = LowPriorityThread()

    @property
    def is_deployed(self) -> bool:
        """Whether something is deployed, as far as the registry has said."""
        return self._active is not None

    @property
    def activation_error(self) -> ActivationError | None:
        """Why the deployed version isn't the one that is served, if so."""
        return None if self._failure is None else self._failure.error

    @property
    def activation_retried(self) -> bool:
        """Whether the deployed version has failed more than once."""
        return self._failure is not None and self._failure.attempts > 0

    @property
    def shadow_error(self) -> ActivationError | None:
        """Why the deployed shadow isn't mirrored to, if so."""
        return None if self._shadow_failure is None else self._shadow_failure.error

    async def start(self) -> None:
        """Serve what was active last, if it lies on the disk: a replica must start while the registry is down."""
        try:
            saved = await asyncio.to_thread(self._cache.saved)
        except (MalformedDeploymentError, OSError) as error:
            self.had_model = True
            self._unreadable(error, str(self._cache.saved_path.name))
            return
        self.had_model = saved is not None
        if saved is not None and self._cache.folder(saved.primary.sha256).is_dir():
            await self._follow(saved)

    async def poll(self, *, at_once: bool = False) -> None:
        """Ask the registry and follow it; `at_once` also retries a failed activation before its time.

        Nothing is raised: see `registry_error` and `activation_error`.
        """
        async with self._lock:
            try:
                answer = await self._registry.active(self._etag)
            except RegistryError as error:
                self._registry_failed(error)
            else:
                self.registry_error = None
                self.registry_answered = True
                if answer is not None:
                    self._etag = answer.etag
                    self._active = answer.deployments
                if self._active is not None:
                    await self._catch_up(self._active, at_once=at_once)
                    await self._follow_shadow(self._active, at_once=at_once)
            await self._report_replica()

    async def _catch_up(self, active: ActiveDeployments, *, at_once: bool) -> None:
        if self._served() == _versions(active):
            self._in_step()
            return
        if at_once or not self._waits(self._failure, active):
            with monitoring.transaction("deploy", f"{self._model_name} {active.primary.version}"):
                await self._follow(active)

    def _waits(self, failure: _Failure | None, wanted: ActiveDeployments | Deployment) -> bool:
        return failure is not None and failure.wanted == wanted and self._clock() < failure.again_at

    async def _follow_shadow(self, active: ActiveDeployments, *, at_once: bool) -> None:
        """Load the shadow, or let it go; nothing that goes wrong with it touches what serves."""
        wanted, held = active.shadow, self._models.shadow
        if wanted == (None if held is None else held.deployment):
            self._shadow_in_step()
            return
        waits = wanted is not None and not at_once and self._waits(self._shadow_failure, wanted)
        if waits or self._models.serving is None:
            return
        try:
            self._models.shadow = None if wanted is None else await self._model(wanted)
        except ActivationError as error:
            self._models.shadow = None
            self._shadow_failure = self._failed(self._shadow_failure, error.deployment, error)
        else:
            await self._behind.run(trim_heap)
            self._shadow_in_step()
            _log.info("shadow: %s", "none" if wanted is None else f"version {wanted.version}")
            if self._served() == _versions(active):
                await asyncio.to_thread(self._remember, active)
        self._on_change()

    def _shadow_in_step(self) -> None:
        if self._shadow_failure is not None:
            self._shadow_failure = None
            if self._failure is None:
                self._report_recovery(self._models.shadow)

    def _served(self) -> tuple[Deployment | None, ...]:
        serving = self._models.serving
        if serving is None:
            return (None, None)
        return (serving.primary.deployment, None if serving.canary is None else serving.canary.deployment)

    async def _follow(self, wanted: ActiveDeployments) -> None:
        monitoring.breadcrumb("deployment started", category="model", version=wanted.primary.version)
        try:
            primary = await self._model(wanted.primary)
            canary = None if wanted.canary is None else await self._model(wanted.canary)
        except ActivationError as error:
            self._failure = self._failed(self._failure, wanted, error)
            return
        serving = Serving(self._model_name, primary, canary, self._now())
        await self._behind.run(self._prepare, serving)
        # One assignment: every request sees the old models or the new ones, whole.
        self._models.serving = serving
        monitoring.breadcrumb("deployment completed", category="model", version=wanted.primary.version)
        _log.info("serving version %s", wanted.primary.version)
        self._in_step()
        self._on_change()
        self._reported_at = float("-inf")
        await asyncio.to_thread(self._remember, wanted)
        await self._behind.run(trim_heap)

    def _failed(
        self, before: _Failure | None, wanted: ActiveDeployments | Deployment, error: ActivationError
    ) -> _Failure:
        """Return the failure with the time of the next attempt; the first of its kind is reported."""
        again = before is not None and before.wanted == wanted
        attempts = before.attempts + 1 if before is not None and again else 0
        _log.warning("cannot activate %s; what was active stays active", error)
        if before is None or not again or before.error.stage != error.stage:
            self._activation_failed(error)
        wait = RETRY_SECONDS[min(attempts, len(RETRY_SECONDS) - 1)]
        return _Failure(wanted, error, attempts, self._clock() + wait)

    def _in_step(self) -> None:
        if self._failure is not None:
            self._failure = None
            serving = self._models.serving
            self._report_recovery(None if serving is None else serving.primary)

    def _report_recovery(self, activated: LoadedModel | None) -> None:
        deployment = None if activated is None else activated.deployment
        version = None if deployment is None else deployment.version
        with monitoring.facts(deployment_id=None if deployment is None else deployment.deployment_id):
            for point in ("model.deployment_failed", "model.source_not_found"):
                monitoring.recovered(point, model_name=self._model_name, model_version=version)

    async def _model(self, deployment: Deployment) -> LoadedModel:
        serving = self._models.serving
        for held in (*((serving.primary, serving.canary) if serving is not None else ()), self._models.shadow):
            if held is not None and held.deployment.sha256 == deployment.sha256:
                return LoadedModel(deployment, held.manifest, held.engine)
        folder = self._cache.folder(deployment.sha256)
        try:
            damage = None
            if folder.is_dir():
                damage = await self._check(folder)
            else:
                await self._fetch(deployment)
            return await self._behind.run(load_model, folder, deployment, damage)
        except UnusableModelError as error:
            # The next attempt fetches it anew.
            await asyncio.to_thread(self._cache.drop, deployment.sha256)
            raise ActivationError(deployment, error.stage, str(error)) from error
        except (RegistryUnreachableError, BundleNotFoundError, OSError) as error:
            raise ActivationError(deployment, DeploymentStage.DOWNLOAD, str(error)) from error
        except ChecksumMismatchError as error:
            raise ActivationError(deployment, DeploymentStage.CHECKSUM, str(error)) from error
        except (MalformedBundleError, MalformedManifestError, ChecksumError) as error:
            raise ActivationError(deployment, DeploymentStage.UNPACK, str(error)) from error

    async def _check(self, folder: Path) -> ChecksumError | None:
        """Return what is damaged of a bundle on the disk, if it can be served all the same."""
        run = asyncio.to_thread if self._models.serving is None else run_in_subprocess
        try:
            return await run(check_bundle, folder)
        except (MalformedManifestError, ChecksumError) as error:
            raise UnusableModelError(DeploymentStage.LOAD, str(error)) from error

    async def _fetch(self, deployment: Deployment) -> None:
        """Bring a bundle to the disk, every file of it checked."""
        scratch = await asyncio.to_thread(self._cache.scratch)
        try:
            folder = Path(scratch.name)
            await self._registry.fetch(deployment, folder, in_subprocess=self._models.serving is not None)
            await asyncio.to_thread(self._cache.add, folder / "unpacked", deployment.sha256)
        finally:
            await asyncio.to_thread(scratch.cleanup)

    def _remember(self, active: ActiveDeployments) -> None:
        try:
            self._cache.save(active)
            self._cache.prune([d.sha256 for d in (*_versions(active), active.shadow) if d is not None])
        except OSError as error:
            _log.warning("cannot keep the active deployment for the next start: %s", error)

    def _activation_failed(self, error: ActivationError) -> None:
        with monitoring.facts(deployment_id=error.deployment.deployment_id):
            self._report_activation(error)

    def _report_activation(self, error: ActivationError) -> None:
        deployment = error.deployment
        source = self._registry.source(deployment)
        if isinstance(error.__cause__, BundleNotFoundError):
            monitoring.report(
                "model.source_not_found",
                error=error,
                model_name=self._model_name,
                model_version=deployment.version,
                source=source,
            )
            return
        monitoring.report(
            "model.deployment_failed",
            error=error,
            model_name=self._model_name,
            model_version=deployment.version,
            source=source,
            target=self._replica_id,
            stage=error.stage,
        )

    def _registry_failed(self, error: RegistryError) -> None:
        first = type(self.registry_error) is not type(error)
        self.registry_error = error
        if isinstance(error, MalformedDeploymentError):
            self._unreadable(error, self._registry.url)
        elif first:
            _log.warning("registry not reachable, serving on: %s", error)

    def _unreadable(self, error: Exception, path: str) -> None:
        monitoring.report("model.registry_parse_failed", error=error, registry_path=path, model_name=self._model_name)

    async def _report_replica(self) -> None:
        serving = self._models.serving
        if serving is None or self._clock() - self._reported_at < REPLICA_REPORT_SECONDS:
            return
        version = serving.primary.deployment.version
        try:
            await self._registry.report_replica(self._replica_id, version, "serving", serving.since)
        except RegistryUnreachableError as error:
            _log.debug("replica state not reported: %s", error)
        else:
            self._reported_at = self._clock()


def _versions(active: ActiveDeployments) -> tuple[Deployment | None, ...]:
    return (active.primary, active.canary)
