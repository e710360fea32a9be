"""HTTP API of the rollouts."""

from typing import Annotated

from fastapi import Path

from contracts.rollouts import RolloutAnswer, RolloutList, RolloutRecord, RolloutRequest
from model_registry.access import RegistryAccess
from model_registry.author import DeployedBy
from model_registry.deployments.service import Author
from model_registry.rollouts.documents import describe
from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.service import Rollouts
from model_registry.versions.endpoints import ModelName
from servicekit.bearer import CallerName
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

_RolloutId = Annotated[str, Path(pattern=r"^[1-9][0-9]{0,8}$", description="Id of the rollout")]


def router(rollouts: Rollouts, rules: RolloutRules, access: RegistryAccess) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["rollouts"])
    guard = access.allow("ci", "admin")

    @made.post(
        "/models/{name}/rollouts",
        status_code=201,
        responses=problem_responses(
            503,
            not_found="There is no such version",
            conflict="A rollout of this model has not ended, outcomes can't be read, or the first canary can't be "
            "deployed; `detail` says why",
            unprocessable_entity="The request is invalid, or a check of the bundle failed; `detail` names it",
        ),
        dependencies=guard,
    )
    def start_rollout(
        name: ModelName, wanted: RolloutRequest, caller: CallerName, deployed_by: DeployedBy = None
    ) -> RolloutRecord:
        """Deploy a version as canary with the first share; the shares grow while clicks, errors and times allow it."""
        return describe(rollouts.start(name, wanted, Author(deployed_by or caller, wanted.reason)), rules)

    @made.get("/models/{name}/rollouts", responses=problem_responses(503), dependencies=access.read())
    def list_rollouts(name: ModelName) -> RolloutList:
        """Return the latest rollouts, newest first: where each is, why, and what was measured in each step."""
        return RolloutList(rollouts=[describe(row, rules) for row in rollouts.history(name)])

    @made.post(
        "/models/{name}/rollouts/{rollout_id}/answer",
        responses=problem_responses(
            503,
            not_found="There is no such rollout",
            conflict="The rollout has ended or changed, or the next step can't be deployed; `detail` says why",
            unprocessable_entity="The request is invalid, or a check of the bundle failed; `detail` names it",
        ),
        dependencies=guard,
    )
    def answer_rollout(
        name: ModelName,
        rollout_id: _RolloutId,
        wanted: RolloutAnswer,
        caller: CallerName,
        deployed_by: DeployedBy = None,
    ) -> RolloutRecord:
        """Take the next step now, give the step more time, or withdraw the canary."""
        author = Author(deployed_by or caller, wanted.reason)
        return describe(rollouts.answer(name, rollout_id, wanted, author), rules)

    return made
