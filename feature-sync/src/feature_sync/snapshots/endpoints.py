"""HTTP API of the snapshot syncs."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from contracts.text import TypedText
from feature_sync.snapshots.bodies import SyncJob, Verification
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.verification import VerificationService
from servicekit.bearer import Access
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter


class SyncRequest(BaseModel):
    """The snapshot to move into Redis."""

    model_config = ConfigDict(extra="forbid")

    snapshot: Annotated[
        str,
        TypedText(2048, min_chars=1),
        Field(
            description="Folder of the snapshot: a path that this service can read, or an fsspec URL",
            examples=["s3://recsys/snapshots/20261124T0300"],
        ),
    ]


class VerifyRequest(BaseModel):
    """The snapshot to compare Redis with."""

    model_config = ConfigDict(extra="forbid")

    snapshot: Annotated[
        Annotated[str, TypedText(2048, min_chars=1)] | None,
        Field(
            description="Folder of the snapshot, as for `POST /sync`; null: that of the last sync that succeeded",
            examples=["s3://recsys/snapshots/20261124T0300"],
        ),
    ] = None


def router(jobs: SyncJobs, verification: VerificationService, access: Access) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["snapshots"])
    unknown = problem_responses(
        not_found="There is no such job among the latest ones",
        service_unavailable="Another worker ran the job, and Redis doesn't answer",
    )

    @made.post("/sync", status_code=202, dependencies=access.allow("admin"))
    async def sync(request: SyncRequest) -> SyncJob:
        """Queue a sync; `GET /sync/{job}` returns its result."""
        return await jobs.submit(request.snapshot)

    @made.get("/sync/{job}", responses=unknown)
    async def get_job(
        job: Annotated[str, Path(description="Id of the job, from the answer of `POST /sync`")],
    ) -> SyncJob:
        """Return a job's state; until it is `done` the previous version stays active."""
        return await jobs.get(job)

    @made.post(
        "/verify",
        responses=problem_responses(
            conflict="Another version became active meanwhile, or no folder is known: name it",
            service_unavailable="Redis doesn't answer",
        ),
        dependencies=access.allow("admin"),
    )
    async def verify(request: VerifyRequest) -> Verification:
        """Compare every key of the active version with the snapshot's files. It takes about as long as a sync."""
        return await verification.verify(request.snapshot)

    return made
