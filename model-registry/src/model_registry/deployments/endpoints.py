"""HTTP API of the deployments."""

import hashlib
from typing import Annotated, Any

from fastapi import Header, Path, Response
from pydantic import AfterValidator, SecretStr
from sqlalchemy import Row

from contracts.deployments import (
    ActiveDeployment,
    ActiveDeployments,
    DeploymentHistory,
    DeploymentReceipt,
    DeploymentRecord,
    DeploymentRequest,
    ReplicaReport,
    ReplicaStatus,
    RollbackRequest,
)
from contracts.person_names import MAX_HEADER_LENGTH, MAX_LENGTH, decode_name
from contracts.text import TypedText
from model_registry.deployments.replicas import Replicas
from model_registry.deployments.service import Author, Deployments
from model_registry.versions.endpoints import ModelName
from servicekit.bearer import bearer_guard
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

_DeployedBy = Annotated[
    str | None,
    Header(
        alias="X-Deployed-By",
        max_length=MAX_HEADER_LENGTH,
        description=f"Author for the history: a name of at most {MAX_LENGTH} characters. Plain ASCII is sent as it is; "
        "other scripts as UTF-8, or as an ext-value of RFC 8187 (`UTF-8''%E5%BC%A0%E4%BC%9F`)",
    ),
    # An unset variable of a CI job is an empty name; the deployment must not be rejected for it.
    AfterValidator(lambda header: decode_name(header) if header else None),
]
_ReplicaId = Annotated[str, TypedText(128, min_chars=1), Path(description="Name of the replica")]


def router(deployments: Deployments, replicas: Replicas, token: SecretStr) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["deployments"])
    guard = bearer_guard(token)

    @made.post(
        "/models/{name}/deployments",
        status_code=201,
        responses=problem_responses(
            503,
            not_found="There is no such version",
            conflict="The quality gate rejected the version, another version is in service than `expected_active` or "
            "the refreshed one, or it cannot be activated; `detail` says why",
            unprocessable_entity="The request is invalid, or a check of the bundle failed; `detail` names it",
        ),
        dependencies=guard,
    )
    def deploy(name: ModelName, wanted: DeploymentRequest, deployed_by: _DeployedBy = None) -> DeploymentReceipt:
        """Check a version and deploy it; if a check rejects it, the answer names the check and nothing has changed."""
        return _receipt(deployments.deploy(name, wanted, Author(deployed_by, wanted.reason)))

    @made.post(
        "/models/{name}/rollback",
        status_code=201,
        responses=problem_responses(
            503,
            not_found="Nothing of this model is deployed",
            conflict="No earlier version was deployed, there is no such canary or shadow, or another version is in "
            "service than `expected_active`",
        ),
        dependencies=guard,
    )
    def roll_back(
        name: ModelName, wanted: RollbackRequest | None = None, deployed_by: _DeployedBy = None
    ) -> DeploymentReceipt:
        """Deploy the previous version again, or take a canary or shadow out of service."""
        wanted = wanted or RollbackRequest()
        author = Author(deployed_by, wanted.reason)
        if wanted.mode == "primary":
            return _receipt(deployments.roll_back(name, author, wanted.expected_active))
        return _receipt(deployments.withdraw(name, wanted.mode, author, wanted.expected_active))

    @made.get("/models/{name}/deployments", responses=problem_responses(503))
    def history(name: ModelName) -> DeploymentHistory:
        """Return what was deployed, when, by whom and why, and which replicas run what."""
        return DeploymentHistory(
            deployments=[_line(row) for row in deployments.history(name)],
            replicas=[ReplicaStatus.model_validate(row, from_attributes=True) for row in replicas.of(name)],
        )

    @made.get(
        "/models/{name}/active",
        response_model=ActiveDeployments,
        responses={
            304: {"description": "Nothing changed"},
            **problem_responses(503, not_found="Nothing of this model is deployed"),
        },
    )
    def active(
        name: ModelName,
        if_none_match: Annotated[str | None, Header(description="The ETag of the last answer")] = None,
    ) -> Response:
        """Return the active deployments; poll it with `If-None-Match`."""
        found = deployments.active(name)
        primary = _active(name, found["primary"])
        body = {"name": name, "primary": primary, "canary": _active(name, found["canary"])}
        content = ActiveDeployments.model_validate({**body, "shadow": _active(name, found["shadow"])}).model_dump_json()
        etag = f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'
        if if_none_match == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return Response(content, media_type="application/json", headers={"ETag": etag})

    @made.put(
        "/models/{name}/replicas/{replica_id}",
        status_code=204,
        responses=problem_responses(503),
        dependencies=guard,
    )
    def report_replica(name: ModelName, replica_id: _ReplicaId, report: ReplicaReport) -> None:
        """Store the report of a replica."""
        replicas.put(name, replica_id, report)

    return made


def _receipt(row: Row[Any]) -> DeploymentReceipt:
    return DeploymentReceipt(
        deployment_id=str(row.id),
        mode=row.mode,
        version=str(row.version),
        state=row.state,
        previous_version=None if row.previous_version is None else str(row.previous_version),
    )


def _line(row: Row[Any]) -> DeploymentRecord:
    return DeploymentRecord(
        **_receipt(row).model_dump(),
        rollout=row.rollout,
        failed_stage=row.failed_stage,
        detail=row.detail,
        reason=row.reason,
        deployed_by=row.deployed_by,
        created_at=row.created_at,
    )


def _active(name: str, row: Row[Any] | None) -> ActiveDeployment | None:
    if row is None:
        return None
    return ActiveDeployment(
        deployment_id=str(row.id),
        version=str(row.version),
        bundle_url=f"/models/{name}/versions/{row.version}/bundle",
        sha256=row.sha256,
        rollout=row.rollout,
        since=row.created_at,
    )
