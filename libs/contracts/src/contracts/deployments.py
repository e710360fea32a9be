"""Bodies of model-registry's endpoints about deployments, and the words that they share with monitoring."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.model_versions import MODEL_VERSION, SHA256
from contracts.moments import Moment
from contracts.text import TypedText

DeploymentMode = Literal["primary", "shadow", "canary"]
DeploymentState = Literal["active", "replaced", "rolled_back", "failed"]
_Text = Annotated[str, TypedText(1000)]


class DeploymentStage(StrEnum):
    """At which step a deployment failed: the tag `stage` of `model.deployment_failed`, and `failed_stage` of history.

    `source` is that of `model.source_not_found`.
    """

    SOURCE = "source"
    DOWNLOAD = "download"
    CHECKSUM = "checksum"
    UNPACK = "unpack"
    MANIFEST = "manifest"
    LOAD = "load"
    GOLDEN = "golden"
    VALIDATE = "validate"
    GATE = "gate"
    ACTIVATE = "activate"


class ActiveDeployment(BaseModel):
    """What a replica needs to serve a version; `bundle_url` may be relative to the registry."""

    model_config = ConfigDict(frozen=True)

    deployment_id: str
    version: str
    bundle_url: str
    sha256: Annotated[str, Field(pattern=SHA256)]
    rollout: Annotated[float, Field(ge=0, le=1)] = 1.0
    since: AwareDatetime


class ActiveDeployments(BaseModel):
    """The deployments of one model that are in service now: the body of `GET /models/{name}/active`."""

    model_config = ConfigDict(frozen=True)

    name: str
    primary: ActiveDeployment
    canary: ActiveDeployment | None = None
    shadow: ActiveDeployment | None = None

    @property
    def deployments(self) -> list[ActiveDeployment]:
        """All of them."""
        return [each for each in (self.primary, self.canary, self.shadow) if each is not None]


class DeploymentRequest(BaseModel):
    """What to put into service."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": "12", "mode": "primary"}]})

    version: Annotated[str, Field(pattern=MODEL_VERSION, description="A version of this model")]
    mode: Annotated[DeploymentMode, Field(description="`shadow` mirrors traffic, `canary` takes a share of users")] = (
        "primary"
    )
    rollout: Annotated[float, Field(strict=True, ge=0, le=1, description="Share of the users that a canary serves")] = (
        1.0
    )
    force: Annotated[bool, Field(strict=True, description="Deploy although the gate refuses it")] = False
    reason: Annotated[_Text | None, Field(description="Why, for the history")] = None


class RollbackRequest(BaseModel):
    """What to take back, and why."""

    model_config = ConfigDict(extra="forbid")

    mode: Annotated[
        DeploymentMode,
        Field(description="`primary` puts the version before back; a `canary` or `shadow` leaves and nothing comes"),
    ] = "primary"
    reason: Annotated[_Text | None, Field(description="Why, for the history")] = None


class DeploymentReceipt(BaseModel):
    """What a deployment answers."""

    deployment_id: str
    mode: DeploymentMode
    version: str
    state: DeploymentState
    previous_version: str | None


class DeploymentRecord(DeploymentReceipt):
    """One line of the history; `failed_stage` names the check that refused it."""

    rollout: float
    failed_stage: str | None
    detail: str | None
    reason: str | None
    deployed_by: str | None
    created_at: datetime


class ReplicaStatus(BaseModel):
    """A process that serves the model, as it last said."""

    replica_id: str
    version: str | None
    state: str
    since: datetime
    reported_at: datetime


class DeploymentHistory(BaseModel):
    """Deployments, newest first, and the replicas that serve now."""

    deployments: list[DeploymentRecord]
    replicas: list[ReplicaStatus]


class ReplicaReport(BaseModel):
    """What a replica says of itself; what another release says besides is ignored."""

    version: Annotated[str, TypedText(32)] | None
    state: Annotated[str, TypedText(32), Field(examples=["serving"])]
    since: Moment
