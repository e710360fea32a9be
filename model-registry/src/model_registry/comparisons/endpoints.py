"""HTTP API of the comparisons."""

from typing import Annotated

from fastapi import Query

from contracts.model_versions import VERSION_OR_ALIAS
from contracts.version_comparisons import VersionComparison
from model_registry.access import RegistryAccess
from model_registry.comparisons.service import Comparisons, Pair
from model_registry.versions.endpoints import ModelName
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

_Version = Annotated[str, Query(pattern=VERSION_OR_ALIAS, description="Version or alias", examples=["12"])]


def router(comparisons: Comparisons, access: RegistryAccess) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["versions"])

    @made.get(
        "/models/{name}/comparisons",
        responses=problem_responses(
            503, not_found="There is no such version", conflict="The versions can't be compared; `detail` says why"
        ),
        # Not public: it takes seconds of CPU.
        dependencies=access.allow("reader", "ci", "admin"),
    )
    def compare_versions(name: ModelName, first: _Version, second: _Version) -> VersionComparison:
        """Compare two trained versions on the same queries, by the evaluation parts that were pushed with them."""
        return comparisons.compare(name, Pair(first, second))

    return made
