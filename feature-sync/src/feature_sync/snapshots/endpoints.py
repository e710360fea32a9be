"""HTTP of the snapshot syncs."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from contracts.text import TypedText
from feature_sync.snapshots.jobs import SyncJob, SyncJobs
from servicekit.bearer import bearer_guard
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter


class SyncRequest(BaseModel):
    """Which snapshot to move into Redis."""

    model_config = ConfigDict(extra="forbid")

    snapshot: Annotated[
        str,
        TypedText(2048, min_chars=1),
        Field(
            description="Folder of the snapshot: a path that this service can read, or an fsspec URL",
            examples=["s3://recsys/snapshots/20261124T0300"],
        ),
    ]


def router(jobs: SyncJobs, token: SecretStr) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["snapshots"])

    @made.post("/sync", status_code=202, dependencies=bearer_guard(token))
    async def sync(request: SyncRequest) -> SyncJob:
        """Queue a sync; ask `GET /sync/{job}` what became of it."""
        return jobs.submit(request.snapshot)

    @made.get("/sync/{job}", responses=problem_responses(not_found="There is no such job among the latest ones"))
    async def get_job(job: Annotated[str, Path(description="Id of the job, as `POST /sync` answered")]) -> SyncJob:
        """Return a job's state; the version before serves until it is `done`."""
        return jobs.get(job)

    return made
