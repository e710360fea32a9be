"""What the registry says is to be served: the body of `GET /models/{name}/active`."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Deployment(BaseModel):
    """One version in service; `bundle_url` may be relative to the registry."""

    model_config = ConfigDict(frozen=True)

    deployment_id: str | int
    version: str
    bundle_url: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    rollout: Annotated[float, Field(ge=0, le=1)] = 1.0
    since: AwareDatetime


class ActiveDeployments(BaseModel):
    """The deployments of one model that are in service now."""

    model_config = ConfigDict(frozen=True)

    name: str
    primary: Deployment
    canary: Deployment | None = None
    shadow: Deployment | None = None

    @property
    def deployments(self) -> list[Deployment]:
        """All of them."""
        return [each for each in (self.primary, self.canary, self.shadow) if each is not None]
