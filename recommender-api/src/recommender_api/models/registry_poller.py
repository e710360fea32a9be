"""Keeps the models in service consistent with the registry. On any failure the previous model keeps serving."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from contracts.deployments import ActiveDeployments
from contracts.registry.errors import RegistryAnswerError, RegistryError
from recommender_api.models.activation import ActivationError, Activator
from recommender_api.models.cache import BundleCache, UnreadableCacheError
from recommender_api.models.deployment_reports import DeploymentReports
from recommender_api.models.follower import DeploymentFollower
from recommender_api.models.heartbeat import ReplicaHeartbeat
from recommender_api.models.low_priority_thread import LowPriorityThread
from recommender_api.models.malloc import trim_heap
from recommender_api.models.registry import ReplicaRegistry
from recommender_api.models.serving import Models, Serving
from recommender_api.models.slots import ServingSlot, ShadowSlot

_log = logging.getLogger(__name__)


class RegistryPoller:
    """One step of `poll` asks the registry and applies its answer; `start` begins with the bundle on the disk.

    `prepare` is called in another thread with the models that are about to be in service; `on_change` after the switch.
    """

    def __init__(
        self,
        models: Models,
        registry: ReplicaRegistry,
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
        # Whether an earlier process saved a model here.
        self.had_model = False
        self._models = models
        self._registry = registry
        self._cache = cache
        self._etag: str | None = None
        self._active: ActiveDeployments | None = None
        self._lock = asyncio.Lock()
        self._thread = LowPriorityThread()
        self._reports = DeploymentReports(registry, model_name=model_name, replica_id=replica_id)
        self._heartbeat = ReplicaHeartbeat(models, registry, replica_id, clock)
        activator = Activator(models, registry, cache, self._thread)
        self._slot = ServingSlot(
            models, activator, self._thread, model_name=model_name, prepare=prepare, on_change=on_change, now=now
        )
        self._serving = DeploymentFollower(self._slot, self._reports, clock=clock, on_activated=self._settle)
        self._shadow = DeploymentFollower(
            ShadowSlot(models, activator, on_change=on_change),
            self._reports,
            clock=clock,
            on_activated=self._settle,
            is_incident_open=lambda: self._serving.error is not None,
        )

    @property
    def is_deployed(self) -> bool:
        """Whether a version is deployed, according to the registry's last answer."""
        return self._active is not None

    @property
    def activation_error(self) -> ActivationError | None:
        """Why the deployed version isn't served, None if it is."""
        return self._serving.error

    @property
    def activation_retried(self) -> bool:
        """Whether the deployed version has failed more than once."""
        return self._serving.has_retried

    @property
    def shadow_error(self) -> ActivationError | None:
        """Why the deployed shadow isn't in service, None if it is."""
        return self._shadow.error

    async def start(self) -> None:
        """Serve the last active model if it is on the disk: a replica must start while the registry is down."""
        try:
            saved = await asyncio.to_thread(self._cache.saved)
        except (UnreadableCacheError, OSError) as error:
            self.had_model = True
            self._reports.report_unreadable(error, str(self._cache.saved_path.name))
            return
        self.had_model = saved is not None
        if saved is not None and self._cache.folder(saved.primary.sha256).is_dir():
            await self._serving.activate(saved)

    async def poll(self, *, retry_now: bool = False) -> None:
        """Poll the registry and apply its answer; `retry_now` also retries a failed activation before its time.

        Raises nothing: see `registry_error` and `activation_error`.
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
                    await self._reconcile(self._active, retry_now=retry_now)
            await self._heartbeat.beat()

    async def _reconcile(self, active: ActiveDeployments, *, retry_now: bool) -> None:
        await self._serving.reconcile(active, retry_now=retry_now)
        if self._models.serving is not None:
            await self._shadow.reconcile(active, retry_now=retry_now)

    async def _settle(self, active: ActiveDeployments) -> None:
        """Save the models in service for the next start, and free the memory of replaced ones."""
        if self._slot.is_current(active):
            await asyncio.to_thread(self._cache.remember, active)
        await self._thread.run(trim_heap)

    def _registry_failed(self, error: RegistryError) -> None:
        first = type(self.registry_error) is not type(error)
        self.registry_error = error
        if isinstance(error, RegistryAnswerError):
            self._reports.report_unreadable(error, self._registry.active_url)
        elif first:
            _log.warning("registry not reachable, the current model keeps serving: %s", error)
