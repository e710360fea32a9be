"""`POST /models/reload`: ask the registry now instead of at the next poll."""

from pydantic import BaseModel, Field, SecretStr

from recommender_api.models.registry_poller import RegistryPoller
from recommender_api.models.serving import Models
from servicekit.bearer import bearer_guard
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter


class Reloaded(BaseModel):
    """What is served after the poll."""

    model_name: str = Field(examples=["ranker"], description="Name of the model")
    model_version: str = Field(examples=["12"], description="Version that answers now")
    changed: bool = Field(description="Whether the poll changed the version that is served")


def router(models: Models, poller: RegistryPoller, model_name: str, admin_token: SecretStr) -> ApiRouter:
    """Return the routes; the caller names no path and no version: the registry alone decides what is served."""
    routes = ApiRouter(tags=["models"])

    @routes.post(
        "/models/reload",
        summary="Follow the registry now",
        dependencies=bearer_guard(admin_token),
        responses=problem_responses(
            conflict="The active deployment cannot be loaded; the previous one keeps serving",
            service_unavailable="The registry gives no usable answer, or nothing is deployed",
        ),
    )
    async def reload() -> Reloaded:
        before = models.serving
        await poller.poll(retry_now=True)
        if poller.registry_error is not None:
            raise ProblemError(503, f"The registry gave no usable answer: {poller.registry_error}")
        if poller.activation_error is not None:
            raise ProblemError(409, f"What was active stays active: {poller.activation_error}")
        serving = models.serving
        if serving is None:
            raise ProblemError(503, "Nothing is deployed yet: push a bundle to the registry and deploy it.")
        return Reloaded(
            model_name=model_name, model_version=serving.primary.deployment.version, changed=serving is not before
        )

    return routes
