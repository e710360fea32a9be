"""Bodies of the deployment endpoints."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.moments import Moment
from contracts.text import TypedText

Mode = Literal["primary", "shadow", "canary"]
_Text = Annotated[str, TypedText(1000)]
State = Literal["active", "replaced", "rolled_back", "failed"]


class DeploymentRequest(BaseModel):
    """What to put into service."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": "12", "mode": "primary"}]})

    version: Annotated[str, Field(pattern="^[1-9][0-9]{0,8}$", description="A version of this model")]
    mode: Annotated[Mode, Field(description="`shadow` mirrors traffic, `canary` takes a share of users")] = "primary"
    rollout: Annotated[float, Field(strict=True, ge=0, le=1, description="Share of the users that a canary serves")] = (
        1.0
    )
    force: Annotated[bool, Field(strict=True, description="Deploy although the gate refuses it")] = False
    reason: Annotated[_Text | None, Field(description="Why, for the history")] = None


class RollbackRequest(BaseModel):
    """What to take back, and why."""

    model_config = ConfigDict(extra="forbid")

    mode: Annotated[
        Mode,
        Field(description="`primary` puts the version before back; a `canary` or `shadow` leaves and nothing comes"),
    ] = "primary"
    reason: Annotated[_Text | None, Field(description="Why, for the history")] = None


class DeploymentReceipt(BaseModel):
    """What a deployment answers."""

    deployment_id: str
    mode: Mode
    version: str
    state: State
    previous_version: str | None


class Deployment(DeploymentReceipt):
    """One line of the history; `failed_stage` names the check that refused it."""

    rollout: float
    failed_stage: str | None
    detail: str | None
    reason: str | None
    deployed_by: str | None
    created_at: datetime


class Replica(BaseModel):
    """A process that serves the model, as it last said."""

    replica_id: str
    version: str | None
    state: str
    since: datetime
    reported_at: datetime


class History(BaseModel):
    """Deployments, newest first, and the replicas that serve now."""

    deployments: list[Deployment]
    replicas: list[Replica]


class ActiveDeployment(BaseModel):
    """What a replica needs to serve a version; `bundle_url` is relative to the registry."""

    deployment_id: str
    version: str
    bundle_url: str
    sha256: str
    rollout: float
    since: datetime


class Active(BaseModel):
    """What is in service."""

    name: str
    primary: ActiveDeployment
    canary: ActiveDeployment | None
    shadow: ActiveDeployment | None


class ReplicaReport(BaseModel):
    """What a replica says of itself; what another release says besides is ignored."""

    version: Annotated[str, TypedText(32)] | None
    state: Annotated[str, TypedText(32), Field(examples=["serving"])]
    since: Moment
