"""The settings of the registry."""

from typing import Annotated

from pydantic import Field, SecretStr

from contracts.access import SingleLine, Token
from servicekit.database_urls import DatabaseUrl
from servicekit.settings import DEVELOPMENT_SECRET, ServiceSettings


class Settings(ServiceSettings):
    """Settings of model-registry."""

    port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on")] = 8001
    database_url: Annotated[
        DatabaseUrl, Field(description="SQLAlchemy URL; the tables are in the schema `registry`")
    ] = SecretStr("sqlite:///recsys.db")
    artifact_url: Annotated[SingleLine, Field(description="Store of bundles: a folder, or `s3://bucket/prefix`")] = (
        "artifacts"
    )
    registry_token: Annotated[Token, Field(description="Token for uploads, deployments and rollbacks")] = SecretStr(
        DEVELOPMENT_SECRET
    )
    model_gate_metric: Annotated[str, Field(description="Manifest metric by which the gate compares versions")] = (
        "ndcg@10"
    )
    model_gate_tolerance: Annotated[
        float, Field(ge=0, le=1, description="How much worse than the active version a new one may be, as a share")
    ] = 0.05
    max_bundle_mb: Annotated[int, Field(ge=1, description="Maximum size of a bundle, in MiB")] = 2048
