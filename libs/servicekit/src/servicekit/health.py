"""The body of `GET /health`: the process lives, and this is how its dependencies are."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, create_model

Status = Literal["healthy", "degraded", "unhealthy"]


class Check(BaseModel):
    """How one dependency is; `detail` says what is wrong, or what is in use."""

    status: Annotated[Status, Field(description="State of the dependency")]
    detail: Annotated[str, Field(description="What is wrong, or what is in use", examples=[""])] = ""


class Health(BaseModel):
    """Always answered with 200: a container is restarted for a dead process, not for a dead dependency."""

    status: Annotated[
        Literal["healthy", "degraded"], Field(description="`degraded` as soon as one check is not `healthy`")
    ]
    service: Annotated[str, Field(description="Name of the service")]
    version: Annotated[str, Field(description="Version of the service", examples=["2.0.0"])]
    checks: Annotated[
        dict[str, Check],
        Field(description="Check by dependency", examples=[{"database": {"status": "healthy", "detail": ""}}]),
    ] = {}

    @classmethod
    def of(cls, service: str, version: str, checks: dict[str, Check]) -> "Health":
        """Return the summary: degraded as soon as one check is not healthy."""
        healthy = all(check.status == "healthy" for check in checks.values())
        return cls(status="healthy" if healthy else "degraded", service=service, version=version, checks=checks)

    @classmethod
    def named(cls, service: str) -> "type[Health]":
        """Return the model whose example in OpenAPI names the service."""
        field = Field(description=cls.model_fields["service"].description, examples=[service])
        return create_model(cls.__name__, __base__=cls, __doc__=cls.__doc__, service=(str, field))
