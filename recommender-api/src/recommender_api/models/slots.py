"""Slots for the models in service: one for primary and canary, one for the shadow."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Protocol

import monitoring
from contracts.deployments import ActiveDeployment, ActiveDeployments
from recommender_api.models.activation import ActivationError, Activator
from recommender_api.models.low_priority_thread import LowPriorityThread
from recommender_api.models.serving import LoadedModel, Models, Serving

_log = logging.getLogger(__name__)


class ModelSlot(Protocol):
    """A slot that a `DeploymentFollower` keeps consistent with the active deployments."""

    @property
    def deployment(self) -> ActiveDeployment | None:
        """The deployment in the slot, None while it is empty."""
        ...

    def target(self, active: ActiveDeployments) -> object:
        """Return the deployments that belong in the slot; when they change, earlier failures don't count."""
        ...

    def is_current(self, active: ActiveDeployments) -> bool:
        """Return whether the slot holds its target."""
        ...

    def transaction(self, active: ActiveDeployments) -> AbstractContextManager[object]:
        """Return the trace around a change of the slot."""
        ...

    async def put_in_service(self, active: ActiveDeployments) -> None:
        """Replace the models in the slot; raises `ActivationError`."""
        ...


class ServingSlot:
    """Primary and canary: if an activation fails, the previous models keep serving.

    `prepare` is called in `thread` with the models that are about to be in service; `on_change` after the switch.
    """

    def __init__(
        self,
        models: Models,
        activator: Activator,
        thread: LowPriorityThread,
        *,
        model_name: str,
        prepare: Callable[[Serving], None],
        on_change: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self._models = models
        self._activator = activator
        self._thread = thread
        self._model_name = model_name
        self._prepare = prepare
        self._on_change = on_change
        self._now = now

    @property
    def deployment(self) -> ActiveDeployment | None:
        """The primary's."""
        serving = self._models.serving
        return None if serving is None else serving.primary.deployment

    def target(self, active: ActiveDeployments) -> object:
        """See `ModelSlot`."""
        return active

    def is_current(self, active: ActiveDeployments) -> bool:
        """See `ModelSlot`."""
        serving = self._models.serving
        if serving is None:
            return False
        canary = None if serving.canary is None else serving.canary.deployment
        return (serving.primary.deployment, canary) == (active.primary, active.canary)

    def transaction(self, active: ActiveDeployments) -> AbstractContextManager[object]:
        """See `ModelSlot`."""
        return monitoring.transaction("deploy", f"{self._model_name} {active.primary.version}")

    async def put_in_service(self, active: ActiveDeployments) -> None:
        """See `ModelSlot`."""
        version = active.primary.version
        monitoring.breadcrumb("deployment started", category="model", version=version)
        primary = await self._activator.activate(active.primary)
        canary = None if active.canary is None else await self._activator.activate(active.canary)
        serving = Serving(self._model_name, primary, canary, self._now())
        await self._thread.run(self._prepare, serving)
        # One assignment: every request sees either all old models or all new ones.
        self._models.serving = serving
        monitoring.breadcrumb("deployment completed", category="model", version=version)
        _log.info("serving version %s", version)
        self._on_change()


class ShadowSlot:
    """The shadow: it is empty after a failed activation, and its failures don't affect the models that serve."""

    def __init__(self, models: Models, activator: Activator, *, on_change: Callable[[], None]) -> None:
        self._models = models
        self._activator = activator
        self._on_change = on_change

    @property
    def deployment(self) -> ActiveDeployment | None:
        """See `ModelSlot`."""
        return None if self._models.shadow is None else self._models.shadow.deployment

    def target(self, active: ActiveDeployments) -> object:
        """See `ModelSlot`."""
        return active.shadow

    def is_current(self, active: ActiveDeployments) -> bool:
        """See `ModelSlot`."""
        return self.deployment == active.shadow

    def transaction(self, active: ActiveDeployments) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return no transaction: no caller waits for a shadow."""
        return nullcontext()

    async def put_in_service(self, active: ActiveDeployments) -> None:
        """See `ModelSlot`."""
        shadow = active.shadow
        try:
            loaded = None if shadow is None else await self._activator.activate(shadow)
        except ActivationError:
            self._replace(None)
            raise
        self._replace(loaded)
        _log.info("shadow: %s", "none" if shadow is None else f"version {shadow.version}")

    def _replace(self, shadow: LoadedModel | None) -> None:
        self._models.shadow = shadow
        self._on_change()
