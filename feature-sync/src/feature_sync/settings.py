"""What feature-sync reads from its environment."""

from typing import Annotated

from pydantic import Field, SecretStr

from servicekit.settings import DEVELOPMENT_SECRET, ServiceSettings


class Settings(ServiceSettings):
    """Settings of feature-sync."""

    port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on")] = 8002
    redis_url: Annotated[SecretStr, Field(description="Redis: `redis://` or `rediss://`")] = SecretStr(
        "redis://127.0.0.1:6379/0"
    )
    database_url: Annotated[
        SecretStr, Field(description="SQLAlchemy URL; behaviour events are logged in the schema `events`")
    ] = SecretStr("sqlite:///recsys.db")
    admin_token: Annotated[SecretStr, Field(description="Opens POST /sync")] = SecretStr(DEVELOPMENT_SECRET)
    consumer_name: Annotated[str, Field(description="Name in the stream's consumer group; empty: host and process")] = (
        ""
    )
    event_batch: Annotated[int, Field(ge=1, le=10_000, description="Most stream entries that are taken at once")] = 500
