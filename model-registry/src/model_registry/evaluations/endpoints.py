"""HTTP API of the evaluation parts. They hold what users did, so only those who may push one get it back."""

from typing import IO, Annotated, cast

from fastapi import File, Form, Response, UploadFile

from contracts.model_versions import EvaluationSummary
from model_registry.access import RegistryAccess
from model_registry.evaluations.service import Evaluations
from model_registry.versions.endpoints import ModelName, Version
from ranking.evaluation.part import MAX_BYTES
from servicekit.bodies import MIB
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

_MEDIA_TYPE = "application/zip"


def router(evaluations: Evaluations, access: RegistryAccess) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["versions"])

    @made.put(
        "/models/{name}/versions/{version}/evaluation",
        responses=problem_responses(
            503,
            not_found="There is no such version",
            conflict="The version has another evaluation part, or retention has removed its bundle",
        ),
        dependencies=access.allow("ci", "admin"),
        max_body_size=MAX_BYTES + MIB,
    )
    def put_evaluation(
        name: ModelName,
        version: Version,
        evaluation: Annotated[UploadFile, File(description="The run's `evaluation.zip`, at most 5 MB")],
        sha256: Annotated[str, Form(pattern="^[0-9a-fA-F]{64}$", description="Its SHA-256")],
    ) -> EvaluationSummary:
        """Upload the evaluation part of a trained version, by which the gate compares it with others."""
        row = evaluations.upload(name, version, cast("IO[bytes]", evaluation.file), sha256)
        return EvaluationSummary.model_validate({"sha256": row.evaluation_sha256, **row.evaluation})

    @made.get(
        "/models/{name}/versions/{version}/evaluation",
        response_class=Response,
        responses={
            200: {
                "description": "The part, a `.zip`",
                "content": {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
            },
            **problem_responses(
                503,
                not_found="There is no such version, it has no evaluation part, or the artifact store has lost it",
                conflict="Retention has removed the version's bundle and part",
            ),
        },
        dependencies=access.allow("ci", "admin"),
    )
    def get_evaluation(name: ModelName, version: Version) -> Response:
        """Download the evaluation part of a version, for another registry."""
        return Response(evaluations.read(name, version), media_type=_MEDIA_TYPE)

    return made
