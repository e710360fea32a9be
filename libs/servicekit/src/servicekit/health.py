"""The body of `GET /health`: the process lives, and this is how its dependencies are."""

from typing import Literal

from pydantic import BaseModel

Status = Literal["healthy", "degraded", "unhealthy"]


class Check(BaseModel):
    """How one dependency is; `detail` says what is wrong, or what is in use."""

    status: Status
    detail: str = ""


class Health(BaseModel):
    """Always answered with 200: a container is restarted for a dead process, not for a dead dependency."""

    status: Literal["healthy", "degraded"]
    service: str
    version: str
    checks: dict[str, Check] = {}

    @classmethod
    def of(cls, service: str, version: str, checks: dict[str, Check]) -> "Health":
        """Return the summary: degraded as soon as one check is not healthy."""
        healthy = all(check.status == "healthy" for check in checks.values())
        return cls(status="healthy" if healthy else "degraded", service=service, version=version, checks=checks)
