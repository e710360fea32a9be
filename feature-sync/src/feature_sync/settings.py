"""The settings of feature-sync."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from contracts.access import SecretLine, SingleLine, Token
from servicekit.database_urls import DatabaseUrl
from servicekit.redis_urls import checked, parse
from servicekit.settings import DEVELOPMENT_SECRET, ServiceSettings


class Settings(ServiceSettings):
    """Settings of feature-sync."""

    port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on")] = 8002
    redis_url: Annotated[
        SecretLine,
        Field(
            description="Redis: `redis://`, `redis+sentinel://` or `redis+cluster://`, with TLS `rediss…`; "
            "OPERATIONS.md shows the form of each"
        ),
        AfterValidator(lambda url: SecretStr(checked(url.get_secret_value()))),
    ] = SecretStr("redis://127.0.0.1:6379/0")
    database_url: Annotated[
        DatabaseUrl, Field(description="SQLAlchemy URL; behaviour events are logged in the schema `events`")
    ] = SecretStr("sqlite:///recsys.db")
    business_database_url: Annotated[
        SecretLine,
        Field(
            description="SQLAlchemy URL of the business database that the data comes from: PostgreSQL, MySQL, MariaDB, "
            "SQLite or DuckDB; feature-sync reads the deleted datasets from it. Empty: none are read"
        ),
    ] = SecretStr("")
    extraction_sql: Annotated[
        Path | None,
        Field(
            description="Folder with SQL over your own schema: for the pipeline users.sql, datasets.sql, "
            "interactions.sql; for feature-sync withdrawn.sql, a SELECT whose column `id` names the deleted datasets. "
            "The folder airflow/sql is an example to copy. A missing file, or an empty value, means that the database "
            "has tables or views of our names and columns"
        ),
    ] = None
    deleted_poll_seconds: Annotated[
        float, Field(gt=0, le=3600, description="Interval between reads of deleted datasets from the business database")
    ] = 60
    admin_token: Annotated[Token, Field(description="Token of POST /sync and of withdrawals")] = SecretStr(
        DEVELOPMENT_SECRET
    )
    consumer_name: Annotated[
        SingleLine, Field(description="Name in the stream's consumer group; empty: host and port")
    ] = ""
    dead_letters_max: Annotated[
        int, Field(ge=1, description="Maximum number of dead letters (entries that cannot be processed) in Redis")
    ] = 10_000
    event_batch: Annotated[int, Field(ge=1, le=10_000, description="Maximum number of stream entries per batch")] = 500

    def secrets(self) -> list[str]:
        """Return every configured secret value, including the passwords of the Redis URL."""
        return [*super().secrets(), *parse(self.redis_url.get_secret_value()).secrets()]
