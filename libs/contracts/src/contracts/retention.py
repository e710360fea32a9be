"""Bodies of model-registry's endpoint about retention, and the words for why a version is kept."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contracts.model_versions import MODEL_VERSION, SHA256


class KeepReason(StrEnum):
    """Why a version is kept."""

    ACTIVE = "active"
    CANARY = "canary"
    SHADOW = "shadow"
    PREDECESSOR = "predecessor"
    ALIAS = "alias"
    REPLICA = "replica"
    REFRESHED = "refreshed"
    RECENT_PRIMARY = "recent_primary"
    LAST_TRAINED = "last_trained"
    LAST_REFRESHES = "last_refreshes"


class RetentionRequest(BaseModel):
    """Whether to remove anything."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"dry_run": True}]})

    dry_run: Annotated[bool, Field(strict=True, description="Only answer what would be removed")] = True


class RetainedVersion(BaseModel):
    """A version that is kept, and why."""

    version: Annotated[str, Field(pattern=MODEL_VERSION, description="Number of the version", examples=["12"])]
    refreshes: Annotated[str | None, Field(description="Trained version that it renews; null for a trained one")]
    # A later registry may have further reasons.
    reasons: Annotated[
        list[str],
        Field(
            description="`active`, `canary`, `shadow`: it serves as this now. A version that is rolled out counts as "
            "canary until the rollout has ended. `predecessor`: a rollback, or the end of a rollout, returns to it. "
            "`alias`: an alias points to it. `replica`: a replica reported it. "
            "`refreshed`: a refresh of it is kept. `recent_primary`: it or a refresh "
            "of it was primary within BUNDLE_RETENTION_DAYS. `last_trained`, `last_refreshes`: it is one of the newest",
            examples=[["active", "last_trained"]],
        ),
    ]


class RemovedVersion(BaseModel):
    """A version whose bundle is removed."""

    version: Annotated[str, Field(pattern=MODEL_VERSION, description="Number of the version", examples=["3"])]
    refreshes: Annotated[str | None, Field(description="Trained version that it renews; null for a trained one")]
    sha256: Annotated[str, Field(pattern=SHA256, description="SHA-256 of the bundle")]
    size: Annotated[int, Field(description="Bytes of the bundle", examples=[1843200])]
    created_at: Annotated[datetime, Field(description="When it was pushed", examples=["2026-08-24T03:10:00Z"])]


class RetentionReport(BaseModel):
    """What retention keeps, and what it has removed or, in a dry run, would remove; newest first."""

    name: Annotated[str, Field(description="Name of the model", examples=["ranker"])]
    dry_run: Annotated[bool, Field(description="Nothing was removed")]
    removed: Annotated[list[RemovedVersion], Field(description="Removed, or to be removed")]
    kept: Annotated[list[RetainedVersion], Field(description="Kept versions with the reasons")]
    bytes_removed: Annotated[int, Field(description="Size of the removed bundles together", examples=[42393600])]
    files_left: Annotated[
        int,
        Field(
            description="Removed bundles whose file the artifact store still has because deleting it failed; "
            "the next run or the next start of the registry deletes it",
            examples=[0],
        ),
    ]
