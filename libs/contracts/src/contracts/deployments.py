"""Bodies of model-registry's endpoints about deployments, and the words that they share with monitoring."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from contracts.model_versions import MODEL_VERSION, SHA256, VERSION_OR_ALIAS
from contracts.moments import Moment
from contracts.text import MachineText, TypedText, is_visible

DeploymentMode = Literal["primary", "shadow", "canary"]
DeploymentState = Literal["active", "replaced", "rolled_back", "failed"]
_Text = Annotated[str, TypedText(1000)]


class DeploymentStage(StrEnum):
    """At which step a deployment failed: the tag `stage` of `model.deployment_failed`, and `failed_stage` of history.

    `source` is that of `model.source_not_found`; `signature` is in the history alone.
    """

    SOURCE = "source"
    SIGNATURE = "signature"
    DOWNLOAD = "download"
    CHECKSUM = "checksum"
    UNPACK = "unpack"
    MANIFEST = "manifest"
    LOAD = "load"
    GOLDEN = "golden"
    VALIDATE = "validate"
    GATE = "gate"
    ACTIVATE = "activate"
    ROLLOUT = "rollout"


class ActiveDeployment(BaseModel):
    """What a replica needs to serve a version; `bundle_url` may be relative to the registry."""

    model_config = ConfigDict(frozen=True)

    deployment_id: Annotated[str, Field(description="Id of the deployment", examples=["7"])]
    version: Annotated[str, Field(description="Version that serves", examples=["12"])]
    bundle_url: Annotated[
        str,
        Field(
            description="Path of the bundle, relative to the registry", examples=["/models/ranker/versions/12/bundle"]
        ),
    ]
    sha256: Annotated[
        str,
        Field(
            pattern=SHA256,
            description="SHA-256 of the bundle",
            examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
        ),
    ]
    rollout: Annotated[
        float, Field(ge=0, le=1, description="Share of the users that a canary serves", examples=[1.0])
    ] = 1.0
    since: Annotated[AwareDatetime, Field(description="Since when it is active", examples=["2026-11-24T03:10:00Z"])]


class ActiveDeployments(BaseModel):
    """The deployments of one model that are in service now: the body of `GET /models/{name}/active`."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(description="Name of the model", examples=["ranker"])]
    primary: Annotated[ActiveDeployment, Field(description="Serves everybody whom no canary serves")]
    canary: Annotated[
        ActiveDeployment | None, Field(description="Serves a share of the users; null: there is none")
    ] = None
    shadow: Annotated[ActiveDeployment | None, Field(description="Gets mirrored traffic; null: there is none")] = None

    @property
    def deployments(self) -> list[ActiveDeployment]:
        """All of them."""
        return [each for each in (self.primary, self.canary, self.shadow) if each is not None]


_ExpectedActive = Annotated[
    str | None,
    Field(pattern=MODEL_VERSION, description="The version that must be in service as primary; if it isn't, 409"),
]


class DeploymentRequest(BaseModel):
    """What to put into service."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": "12", "mode": "primary"}]})

    version: Annotated[str, Field(pattern=VERSION_OR_ALIAS, description="A version of this model, or an alias of one")]
    mode: Annotated[DeploymentMode, Field(description="`shadow` mirrors traffic, `canary` takes a share of users")] = (
        "primary"
    )
    rollout: Annotated[
        float | None,
        Field(strict=True, ge=0, le=1, description="Share of the users that a canary serves; only a canary has one"),
    ] = None
    force: Annotated[
        bool, Field(strict=True, description="Deploy without asking the gate; the history keeps the `reason`")
    ] = False
    expected_active: _ExpectedActive = None
    reason: Annotated[_Text | None, Field(description="Why, for the history; `force` needs one")] = None

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.mode == "canary" and self.rollout is None:
            raise ValueError("rollout: a canary needs the share of the users that it serves, from 0 to 1")
        # Clients of the release before send 1.0 with every mode.
        if self.mode != "canary" and self.rollout not in (None, 1.0):
            raise ValueError(f"rollout: a {self.mode} has none, only a canary serves a share of the users")
        if self.force and not is_visible(self.reason or ""):
            raise ValueError("reason: `force` needs one that can be read, which the history keeps")
        return self


class RollbackRequest(BaseModel):
    """What to take back, and why."""

    model_config = ConfigDict(extra="forbid")

    mode: Annotated[
        DeploymentMode,
        Field(description="`primary` puts the version before back; a `canary` or `shadow` leaves and nothing comes"),
    ] = "primary"
    expected_active: _ExpectedActive = None
    reason: Annotated[_Text | None, Field(description="Why, for the history")] = None


class DeploymentReceipt(BaseModel):
    """What a deployment answers."""

    deployment_id: Annotated[str, Field(description="Id of the deployment", examples=["7"])]
    mode: Annotated[DeploymentMode, Field(description="How the version serves")]
    version: Annotated[str, Field(description="Version that was deployed", examples=["12"])]
    state: Annotated[DeploymentState, Field(description="`active` as soon as it is deployed")]
    previous_version: Annotated[
        str | None, Field(description="Version that served in this mode before; null if none did", examples=["11"])
    ]


class DeploymentRecord(DeploymentReceipt):
    """One line of the history; `failed_stage` names the check that refused it."""

    rollout: Annotated[float, Field(description="Share of the users that a canary serves", examples=[1.0])]
    failed_stage: Annotated[str | None, Field(description="Check that rejected it; null if none did")]
    detail: Annotated[str | None, Field(description="What the check said; null if it passed")]
    reason: Annotated[str | None, Field(description="Why, as the author wrote it", examples=["nightly training"])]
    deployed_by: Annotated[str | None, Field(description="Who, as `X-Deployed-By` said", examples=["ci@main"])]
    created_at: Annotated[
        datetime, Field(description="When it was deployed or rejected", examples=["2026-11-24T03:10:00Z"])
    ]


class ReplicaStatus(BaseModel):
    """A process that serves the model, as it last said; one line for each mode that it serves."""

    replica_id: Annotated[str, Field(description="Name of the replica", examples=["api-0-8000"])]
    mode: Annotated[DeploymentMode, Field(description="Which of its deployments this is about")] = "primary"
    deployment_id: Annotated[
        str | None,
        Field(description="Deployment that it serves; null for none, and from an earlier release", examples=["7"]),
    ] = None
    version: Annotated[str | None, Field(description="Version that it serves; null for none", examples=["12"])]
    state: Annotated[
        str,
        Field(
            description="`serving` what is deployed, `loading` it, or `failed` to load it and serving what it had",
            examples=["serving"],
        ),
    ]
    error: Annotated[
        str | None, Field(description="Why it can't serve what is deployed; null if it does", examples=[None])
    ] = None
    since: Annotated[datetime, Field(description="Since when it is in this state", examples=["2026-11-24T03:10:00Z"])]
    reported_at: Annotated[datetime, Field(description="When it last reported", examples=["2026-11-24T03:10:00Z"])]


class DeploymentHistory(BaseModel):
    """A page of deployments, newest first, and the replicas that serve now."""

    deployments: Annotated[list[DeploymentRecord], Field(description="Deployments, newest first")]
    next_before: Annotated[
        str | None, Field(description="`before` of the next page; null: these are the oldest", examples=["151"])
    ] = None
    replicas: Annotated[list[ReplicaStatus], Field(description="Replicas that reported lately")]


class ReplicaTraffic(BaseModel):
    """What a replica has answered with a version in the last minutes: a rollout is judged by it."""

    answers: Annotated[int, Field(ge=0, description="Answers", examples=[1200])]
    errors: Annotated[
        int, Field(ge=0, description="Answers for which recall or ranking failed or was too slow", examples=[0])
    ]
    fallback_answers: Annotated[int, Field(ge=0, description="Answers above fallback level 0", examples=[3])]
    p99_ms: Annotated[float | None, Field(ge=0, description="p99 of their time (ms)", examples=[12.5])] = None


class ReplicaReport(BaseModel):
    """What a replica says of one of its modes; what another release says besides is ignored."""

    mode: Annotated[DeploymentMode, Field(description="Which of its deployments this is about")] = "primary"
    deployment_id: Annotated[
        Annotated[str, TypedText(32)] | None,
        Field(description="Deployment that it serves; null for none", examples=["7"]),
    ] = None
    version: Annotated[
        Annotated[str, TypedText(32)] | None,
        Field(description="Version that it serves; null for none", examples=["12"]),
    ]
    state: Annotated[
        str,
        TypedText(32),
        Field(
            examples=["serving"],
            description="`serving` what is deployed, `loading` it, or `failed` to load it and serving what it had",
        ),
    ]
    error: Annotated[
        Annotated[str, MachineText(500)] | None, Field(description="Why it can't serve what is deployed")
    ] = None
    since: Annotated[Moment, Field(description="Since when it is in this state", examples=["2026-11-24T03:10:00Z"])]
    traffic: Annotated[
        ReplicaTraffic | None, Field(description="Its answers of the last minutes; null from an earlier release")
    ] = None
