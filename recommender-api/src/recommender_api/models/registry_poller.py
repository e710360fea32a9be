"""Keeps the models in service consistent with the registry. On any failure the previous model keeps serving."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from contracts.deployments import ActiveDeployments, ReplicaTraffic
from contracts.registry.calls import ActiveAnswer
from contracts.registry.errors import RegistryAnswerError, RegistryError
from recommender_api.models.activation import ActivationError, Activator
from recommender_api.models.cache import BundleCache, UnreadableCacheError
from recommender_api.models.deployment_reports import DeploymentReports
from recommender_api.models.follower import DeploymentFollower
from recommender_api.models.heartbeat import ReplicaHeartbeat, ReplicaState
from recommender_api.models.low_priority_thread import LowPriorityThread
from recommender_api.models.malloc import trim_heap
from recommender_api.models.registry import ReplicaRegistry
from recommender_api.models.serving import Models, Serving
from recommender_api.models.slots import ServingSlot, ShadowSlot

# How long the registry may hold a request until something changes; proxies end one after a minute.
WAIT_SECONDS = 30
_log = logging.getLogger(__name__)


class RegistryPoller:
    """`poll` asks the registry and applies its answer; `start` begins with the bundle on the disk.

    `follow` is the step of a loop: it waits at the registry for a change, or polls each `interval` seconds if the
    registry doesn't hold requests or something has to be tried again.

    `prepare` is called in another thread with the models that are about to be in service; `on_change` after the switch.
    `traffic` returns what a version has answered lately, for the registry.
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
        traffic: Callable[[str], ReplicaTraffic | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        interval: float = 1.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
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
        self._heartbeat = ReplicaHeartbeat(registry, replica_id, clock, now, traffic=traffic)
        self._clock = clock
        self._interval = interval
        self._sleep = sleep
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
                await self._apply(answer, retry_now=retry_now)
            await self._heartbeat.beat(self._states())

    async def follow(self) -> None:
        """Apply the next change, or poll; raises nothing."""
        began, etag = self._clock(), self._etag
        if etag is not None and self._has_nothing_to_retry:
            await self._wait_for_change(etag)
            if self._etag != etag:
                return
        else:
            await self.poll()
        elapsed = self._clock() - began
        if elapsed < self._interval:
            await self._sleep(self._interval - elapsed)

    @property
    def _has_nothing_to_retry(self) -> bool:
        errors = (self.registry_error, self.activation_error, self.shadow_error)
        return self._heartbeat.is_delivered and not any(errors)

    async def _wait_for_change(self, etag: str) -> None:
        try:
            # Outside of the lock: `poll` must not wait for it.
            answer: ActiveAnswer | RegistryError | None = await self._registry.active(etag, wait=WAIT_SECONDS)
        except RegistryError as error:
            answer = error
        async with self._lock:
            if isinstance(answer, RegistryError):
                self._registry_failed(answer)
            elif self._etag == etag:
                # If it is another by now, a `poll` was faster, and this answer may be older than that one's.
                await self._apply(answer, retry_now=False)
            await self._heartbeat.beat(self._states())

    async def _apply(self, answer: ActiveAnswer | None, *, retry_now: bool) -> None:
        self.registry_error = None
        self.registry_answered = True
        if answer is not None:
            self._etag = answer.etag
            self._active = answer.deployments
        if self._active is not None:
            await self._reconcile(self._active, retry_now=retry_now)

    def _states(self) -> list[ReplicaState]:
        """Return what is served in each mode that is in use here or deployed."""
        serving, shadow, active = self._models.serving, self._models.shadow, self._active
        primary = None if serving is None else serving.primary.deployment
        canary = None if serving is None or serving.canary is None else serving.canary.deployment
        mirrored = None if shadow is None else shadow.deployment
        # Before the registry's first answer, what was saved counts as deployed.
        wanted = (primary, canary, mirrored) if active is None else (active.primary, active.canary, active.shadow)
        states = [
            ReplicaState.of("primary", primary, wanted[0], self.activation_error),
            ReplicaState.of("canary", canary, wanted[1], self.activation_error),
            ReplicaState.of("shadow", mirrored, wanted[2], self.shadow_error),
        ]
        return [each for each, deployed in zip(states, wanted, strict=True) if each.deployment is not None or deployed]

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
