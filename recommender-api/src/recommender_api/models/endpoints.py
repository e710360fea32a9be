"""`POST /models/reload`: poll the registry now instead of at the next interval."""

from pydantic import BaseModel, Field

from recommender_api.models.registry_poller import RegistryPoller
from recommender_api.models.serving import Models
from servicekit.bearer import Access
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter


class Reloaded(BaseModel):
    """The deployment in service after the poll."""

    model_name: str = Field(examples=["ranker"], description="Name of the model")
    model_version: str = Field(examples=["12"], description="Served version after the poll")
    changed: bool = Field(description="Whether the poll changed the served version")


def router(models: Models, poller: RegistryPoller, model_name: str, access: Access) -> ApiRouter:
    """Return the routes. The caller names neither path nor version: the registry alone decides what is served."""
    routes = ApiRouter(tags=["models"])

    @routes.post(
        "/models/reload",
        summary="Poll the registry now",
        dependencies=access.allow("admin"),
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
            raise ProblemError(409, f"The previous model keeps serving: {poller.activation_error}")
        serving = models.serving
        if serving is None:
            raise ProblemError(503, "Nothing is deployed yet: push a bundle to the registry and deploy it.")
        return Reloaded(
            model_name=model_name, model_version=serving.primary.deployment.version, changed=serving is not before
        )

    return routes
