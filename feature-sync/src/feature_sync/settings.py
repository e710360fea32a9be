"""The settings of feature-sync."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from contracts.access import HttpUrlOrEmpty, SecretLine, SingleLine, Token
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
    admin_token: Annotated[Token, Field(description="Token of POST /sync, of withdrawals and of users' data")] = (
        SecretStr(DEVELOPMENT_SECRET)
    )
    registry_url: Annotated[
        HttpUrlOrEmpty,
        Field(description="Registry whose named tokens are accepted; empty: ADMIN_TOKEN alone"),
    ] = ""
    registry_read_token: Annotated[
        Token | None, Field(description="Bearer token that reads the registry's named tokens; empty: none are read")
    ] = None
    forget_secret: Annotated[
        Token,
        Field(
            description="Key of the HMACs that stand for forgotten users. Never change it: events from before a user "
            "was forgotten would count again when they are repeated"
        ),
    ] = SecretStr(DEVELOPMENT_SECRET)
    consumer_name: Annotated[
        SingleLine, Field(description="Name in the stream's consumer groups; empty: host and port")
    ] = ""
    takeover_seconds: Annotated[
        float,
        Field(
            ge=1,
            le=86_400,
            description="After this time without activity a worker counts as dead: others take over its stream "
            "entries, and its name leaves the consumer groups",
        ),
    ] = 60
    snapshot_max_age_hours: Annotated[
        float,
        Field(
            ge=0,
            le=8760,
            description="Age of the active snapshot above which pipeline.feature_store_stale is reported; 0: never. "
            "The default allows a nightly run to be two hours late",
        ),
    ] = 26
    stream_max_lag_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=86_400,
            description="Age of the oldest unfinished event above which pipeline.feature_store_lag is reported; 0: "
            "never. Keep it above TAKEOVER_SECONDS, the wait for a dead worker",
        ),
    ] = 120
    stream_max_mb: Annotated[
        int,
        Field(
            ge=1,
            description="Maximum size of the event stream in Redis; give recommender-api, which keeps to it, the same. "
            "feature-sync warns if Redis has no room for it",
        ),
    ] = 128
    dead_letters_max: Annotated[
        int, Field(ge=1, description="Maximum number of dead letters (entries that cannot be processed) in Redis")
    ] = 10_000
    event_batch: Annotated[int, Field(ge=1, le=10_000, description="Maximum number of stream entries per batch")] = 250

    event_retention_days: Annotated[
        int,
        Field(
            ge=1,
            le=36_500,
            description="Events are stored for this time, counted from when they happened. They leave month by month: "
            "a partition is dropped when all of it is older. The pipeline trains on what is there",
        ),
    ] = 1095

    def secrets(self) -> list[str]:
        """Return every configured secret value, including the passwords of the Redis URL."""
        return [*super().secrets(), *parse(self.redis_url.get_secret_value()).secrets()]
