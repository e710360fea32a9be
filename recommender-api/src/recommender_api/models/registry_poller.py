"""Keeps what this replica serves in step with the registry; whatever fails, what was active stays active."""

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
    """One step of `poll` asks the registry and follows it; `start` begins with what lies on the disk.

    `prepare` is called with what is about to be in service, in another thread; `on_change` after it is.
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
        # Whether an earlier process left a model here to be served.
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
        """Whether something is deployed, as far as the registry has said."""
        return self._active is not None

    @property
    def activation_error(self) -> ActivationError | None:
        """Why the deployed version isn't the one that is served, if so."""
        return self._serving.error

    @property
    def activation_retried(self) -> bool:
        """Whether the deployed version has failed more than once."""
        return self._serving.has_retried

    @property
    def shadow_error(self) -> ActivationError | None:
        """Why the deployed shadow isn't mirrored to, if so."""
        return self._shadow.error

    async def start(self) -> None:
        """Serve what was active last, if it lies on the disk: a replica must start while the registry is down."""
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
        """Ask the registry and follow it; `retry_now` also retries a failed activation before its time.

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
                    await self._reconcile(self._active, retry_now=retry_now)
            await self._heartbeat.beat()

    async def _reconcile(self, active: ActiveDeployments, *, retry_now: bool) -> None:
        await self._serving.reconcile(active, retry_now=retry_now)
        if self._models.serving is not None:
            await self._shadow.reconcile(active, retry_now=retry_now)

    async def _settle(self, active: ActiveDeployments) -> None:
        """Keep what is in service for the next start, and return the memory of what no longer is."""
        if self._slot.is_current(active):
            await asyncio.to_thread(self._cache.remember, active)
        await self._thread.run(trim_heap)

    def _registry_failed(self, error: RegistryError) -> None:
        first = type(self.registry_error) is not type(error)
        self.registry_error = error
        if isinstance(error, RegistryAnswerError):
            self._reports.report_unreadable(error, self._registry.active_url)
        elif first:
            _log.warning("registry not reachable, serving on: %s", error)
