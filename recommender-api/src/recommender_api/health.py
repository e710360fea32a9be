"""How the service's dependencies are, and `GET /ready`."""

from typing import Annotated

from pydantic import BaseModel, Field

from recommender_api.availability import AvailabilityWatch
from recommender_api.events import EventIntake, Journal
from recommender_api.features import SnapshotWatch
from recommender_api.models.registry_poller import RegistryPoller
from recommender_api.models.serving import Models
from recommender_api.redis_store import Breaker
from recommender_api.withdrawal import WithdrawnWatch
from servicekit.background import BackgroundLoops
from servicekit.health import Check
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

SERVICE = "recommender-api"


class Ready(BaseModel):
    """The version of the loaded model."""

    model_version: Annotated[str, Field(description="Version that answers", examples=["12"])]


class HealthReport:
    """The health of each dependency, as this process already knows it: a health check calls no other service."""

    def __init__(
        self,
        *,
        breaker: Breaker,
        models: Models,
        poller: RegistryPoller,
        snapshots: SnapshotWatch,
        withdrawn: WithdrawnWatch,
        journal: Journal,
        intake: EventIntake,
        loops: BackgroundLoops,
    ) -> None:
        self._breaker = breaker
        self._models = models
        self._poller = poller
        self._snapshots = snapshots
        self._withdrawn = withdrawn
        self._journal = journal
        self._intake = intake
        self._loops = loops

    async def checks(self) -> dict[str, Check]:
        """Return the state of each dependency."""
        return {
            "redis": self._redis(),
            "model": self._model(),
            "registry": self._registry(),
            "features": self._features(),
            "withdrawn": self._withdrawn.check(),
            "events": self._events(),
            "background": self._loops.check(),
        }

    def _redis(self) -> Check:
        if self._breaker.is_open:
            return Check(status="unhealthy", detail=f"circuit breaker open after {self._breaker.cause}")
        return Check(status="healthy")

    def _model(self) -> Check:
        serving, failure = self._models.serving, self._poller.activation_error
        if serving is None:
            return Check(status="unhealthy", detail="no model loaded" if failure is None else str(failure))
        detail = f"version {serving.primary.deployment.version}, ranked by {serving.primary.engine.ranker.method}"
        if failure is not None:
            return Check(status="degraded", detail=f"{detail}; cannot activate {failure}")
        if serving.primary.engine.contents.precomputed_error is not None:
            return Check(status="degraded", detail=f"{detail}; without precomputed lists")
        return Check(status="healthy", detail=detail)

    def _registry(self) -> Check:
        error = self._poller.registry_error
        return Check(status="healthy") if error is None else Check(status="unhealthy", detail=str(error))

    def _features(self) -> Check:
        snapshot = self._snapshots.active
        if snapshot is None:
            return Check(status="degraded", detail="no feature snapshot in Redis yet")
        if not snapshot.features:
            return Check(status="degraded", detail=f"snapshot {snapshot.version} has a different feature schema")
        if snapshot.lacking:
            lacking = ", ".join(sorted(snapshot.lacking))
            return Check(status="degraded", detail=f"snapshot {snapshot.version} lacks {lacking} of the model")
        return Check(status="healthy", detail=f"snapshot {snapshot.version}")

    def _events(self) -> Check:
        waiting = self._journal.waiting_bytes
        if waiting:
            cause = "room in the event stream" if self._intake.stream_full else "Redis"
            return Check(status="degraded", detail=f"{waiting} bytes of events wait for {cause}")
        return Check(status="healthy")


def router(models: Models, availability: AvailabilityWatch) -> ApiRouter:
    """Return the route of readiness."""
    routes = ApiRouter(tags=["operations"])

    @routes.get(
        "/ready",
        summary="Whether questions can be answered",
        responses=problem_responses(service_unavailable="No model is loaded; `detail` says why"),
    )
    async def ready() -> Ready:
        """Ready as soon as a model is loaded. Without Redis answers are degraded, but the replica stays ready."""
        serving = models.serving
        if serving is None:
            raise ProblemError(503, availability.explain())
        return Ready(model_version=serving.primary.deployment.version)

    return routes
