"""HTTP API of the deployments."""

import hashlib
import re
from typing import Annotated, Any, get_args

from fastapi import Header, Path, Request, Response
from sqlalchemy import Row
from starlette.concurrency import run_in_threadpool

from contracts.deployments import (
    ActiveDeployment,
    ActiveDeployments,
    DeploymentHistory,
    DeploymentMode,
    DeploymentReceipt,
    DeploymentRecord,
    DeploymentRequest,
    ReplicaReport,
    ReplicaStatus,
    RollbackRequest,
)
from contracts.text import TypedText
from model_registry.access import RegistryAccess
from model_registry.author import DeployedBy
from model_registry.deployments.active_watch import ActiveDocument, ActiveWatch
from model_registry.deployments.replicas import Replicas
from model_registry.deployments.service import Author, Deployments
from model_registry.paging import WantedPage
from model_registry.versions.endpoints import ModelName
from servicekit.bearer import CallerName, check_again
from servicekit.bodies import wait_for_disconnect
from servicekit.etags import is_named
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

_Prefer = Annotated[
    str | None,
    Header(
        max_length=200,
        description="With `wait=N` and `If-None-Match`, the answer comes when it differs, at the latest after N "
        "seconds (60 at most), and has the header `Preference-Applied`. Without that header, ask again in a second",
        examples=["wait=30"],
    ),
]
_WAIT = re.compile(r"(?:^|[,\s])wait\s*=\s*\"?([0-9]+)\"?\s*(?=[,;]|$)", re.ASCII | re.IGNORECASE)
# Shorter than the timeouts of usual proxies.
MAX_WAIT_SECONDS = 60
_ReplicaId = Annotated[str, TypedText(128, min_chars=1), Path(description="Name of the replica")]


def router(deployments: Deployments, replicas: Replicas, watch: ActiveWatch, access: RegistryAccess) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["deployments"])
    guard = access.allow("ci", "admin")

    @made.post(
        "/models/{name}/deployments",
        status_code=201,
        responses=problem_responses(
            503,
            not_found="There is no such version",
            conflict="The quality gate rejected the version, another version is in service than `expected_active` or "
            "the refreshed one, retention has removed the version, or it cannot be activated; `detail` says why",
            unprocessable_entity="The request is invalid, or a check of the bundle failed; `detail` names it",
        ),
        dependencies=guard,
    )
    def deploy(
        name: ModelName, wanted: DeploymentRequest, caller: CallerName, deployed_by: DeployedBy = None
    ) -> DeploymentReceipt:
        """Check a version and deploy it; if a check rejects it, the answer names the check and nothing has changed."""
        return _receipt(deployments.deploy(name, wanted, Author(deployed_by or caller, wanted.reason)))

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
        name: ModelName, caller: CallerName, wanted: RollbackRequest | None = None, deployed_by: DeployedBy = None
    ) -> DeploymentReceipt:
        """Deploy the previous version again, or take a canary or shadow out of service."""
        wanted = wanted or RollbackRequest()
        author = Author(deployed_by or caller, wanted.reason)
        if wanted.mode == "primary":
            return _receipt(deployments.roll_back(name, author, wanted.expected_active))
        return _receipt(deployments.withdraw(name, wanted.mode, author, wanted.expected_active))

    @made.get("/models/{name}/deployments", responses=problem_responses(503), dependencies=access.read())
    def history(name: ModelName, page: WantedPage) -> DeploymentHistory:
        """Return a page of what was deployed, when, by whom and why, and which replicas run what."""
        rows, next_before = deployments.history(name, page)
        return DeploymentHistory(
            deployments=[_line(row) for row in rows],
            next_before=next_before,
            replicas=[ReplicaStatus.model_validate(row, from_attributes=True) for row in replicas.of(name)],
        )

    @made.get(
        "/models/{name}/active",
        response_model=ActiveDeployments,
        responses={
            304: {"description": "Nothing changed"},
            **problem_responses(503, not_found="Nothing of this model is deployed"),
        },
        dependencies=access.read("replica"),
    )
    async def active(
        request: Request,
        name: ModelName,
        if_none_match: Annotated[str | None, Header(description="The ETag of the last answer")] = None,
        prefer: _Prefer = None,
    ) -> Response:
        """Return the active deployments; ask with `If-None-Match`, and with `Prefer: wait=30` for a change."""
        document = await run_in_threadpool(active_document, deployments, name)
        wait = None if if_none_match is None or watch.is_full else parse_wait(prefer)
        headers = {} if wait is None else {"Preference-Applied": f"wait={wait}"}
        if if_none_match is not None and is_named(document.etag, if_none_match):
            changed = None
            if wait is not None:
                changed = await watch.wait(name, document.etag, wait, wait_for_disconnect(request.receive))
                check_again(request)
            if changed is None:
                return Response(status_code=304, headers=headers | {"ETag": document.etag})
            document = changed
        headers["ETag"] = document.etag
        return Response(document.content, media_type="application/json", headers=headers)

    @made.put(
        "/models/{name}/replicas/{replica_id}",
        status_code=204,
        responses=problem_responses(503),
        dependencies=access.allow("replica", "admin"),
    )
    def report_replica(name: ModelName, replica_id: _ReplicaId, report: ReplicaReport) -> None:
        """Store the report of a replica."""
        replicas.put(name, replica_id, report)

    return made


def active_document(deployments: Deployments, name: str) -> ActiveDocument:
    """Return the document of a model's active deployments; raises `NotFoundError`."""
    rows = deployments.active(name)
    body = {"name": name} | {mode: _active(name, rows.get(mode)) for mode in get_args(DeploymentMode)}
    content = ActiveDeployments.model_validate(body).model_dump_json()
    return ActiveDocument(content, f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"')


def parse_wait(prefer: str | None) -> int | None:
    """Return how many seconds `Prefer` asks to wait, at most `MAX_WAIT_SECONDS`; None if it doesn't."""
    found = None if prefer is None else _WAIT.search(prefer)
    return None if found is None else min(int(found[1]), MAX_WAIT_SECONDS)


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
