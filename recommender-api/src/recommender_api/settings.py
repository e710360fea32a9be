"""The settings of recommender-api, which are read from its environment."""

import socket
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from contracts.access import HttpUrl, SingleLine, Token
from contracts.setting_values import with_fallback
from servicekit.redis_urls import checked, parse
from servicekit.settings import DEVELOPMENT_SECRET, ServiceSettings


class Settings(ServiceSettings):
    """Settings of recommender-api."""

    port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on")] = 8000

    redis_url: Annotated[
        SingleLine,
        Field(
            repr=False,
            description="Redis: `redis://`, `redis+sentinel://` or `redis+cluster://`, with TLS `rediss…`; "
            "OPERATIONS.md shows the form of each",
        ),
        AfterValidator(checked),
    ] = "redis://127.0.0.1:6379/0"
    redis_budget_ms: Annotated[
        float,
        Field(gt=0, description="Longest wait for one Redis call; with 5 ms a healthy Redis would trip the breaker"),
    ] = 25
    request_budget_ms: Annotated[
        float,
        Field(
            gt=0,
            description="Time budget of the main path, after which the fallback chain answers. Counted from the start, "
            "reading Redis must end by 60 % of it, recall by 80 %",
        ),
    ] = 150
    queue_budget_ms: Annotated[
        float,
        Field(
            gt=0,
            description="Bound of the waiting work in CPU time. Once waiting work has exceeded it for ten times as "
            "long (0.1 s by default), requests get 503; shorter bursts pass. Keep it at most half of REDIS_BUDGET_MS, "
            "which runs meanwhile",
        ),
    ] = 10

    registry_url: Annotated[HttpUrl, Field(description="URL of the model registry")] = "http://127.0.0.1:8001"
    registry_token: Annotated[
        Token | None,
        Field(description="Read only where REGISTRY_REPLICA_TOKEN is not set, as in deployments of earlier releases"),
    ] = None
    registry_replica_token: Annotated[Token, Field(description="Bearer token of the registry, for replicas")] = (
        SecretStr(DEVELOPMENT_SECRET)
    )
    model_name: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$", description="Name of the model in the registry")
    ] = "ranker"
    model_poll_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="Interval between polls of the registry for the active deployment, where the registry doesn't "
            "hold requests until it changes, and while something has to be tried again",
        ),
    ] = 1.0
    model_cache_dir: Annotated[
        Path, Field(description="Folder of downloaded bundles; a restart serves the last active one from here")
    ] = Path(".run/model-cache")
    replica_id: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9._-]{0,128}$", description="Name of this replica; empty: host name and port")
    ] = ""

    shadow_sample_rate: Annotated[
        float, Field(ge=0, le=1, description="Share of the ranked queries that are mirrored to the shadow")
    ] = 0.1
    shadow_cpu_share: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Maximum share of a process's time for the shadow; above it mirrored queries are dropped",
        ),
    ] = 0.05

    skew_sample_share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of the users for whom it is logged what their answers were ranked with; the pipeline "
            "computes that again each night and compares. 0: none",
        ),
    ] = 0.01

    events_token: Annotated[Token, Field(description="Bearer token that opens POST /events")] = SecretStr(
        DEVELOPMENT_SECRET
    )
    admin_token: Annotated[Token, Field(description="Bearer token that opens POST /models/reload")] = SecretStr(
        DEVELOPMENT_SECRET
    )
    exposure_anonymous_share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of the answers to nobody (without `user_id`) that are logged as exposures; answers to "
            "users are all logged",
        ),
    ] = 0.1
    exploration_share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of the users' hours in which answers show the best candidates in random order, so that "
            "their outcomes can be compared and learned from; 0: never",
        ),
    ] = 0.0
    stream_max_mb: Annotated[
        int,
        Field(
            ge=1,
            description="Maximum size of the event stream in Redis. It grows while PostgreSQL or feature-sync is down; "
            "above it events wait in the journal of the replica. 128 MB are about 700,000 events",
        ),
    ] = 128
    event_journal_dir: Annotated[
        Path,
        Field(description="Folder where behaviour events wait while Redis is down or the stream full; one per replica"),
    ] = Path(".run/event-journal")
    event_journal_max_mb: Annotated[
        int, Field(ge=1, description="Maximum size of that journal; above it POST /events answers 503")
    ] = 64

    def secrets(self) -> list[str]:
        """Return every configured secret value, including the passwords of the Redis URL."""
        return [*super().secrets(), *parse(self.redis_url).secrets()]

    @model_validator(mode="before")
    @classmethod
    def _fall_back_to_the_admins_token(cls, values: Any) -> Any:
        return with_fallback(values, "registry_replica_token", "registry_token")

    @model_validator(mode="after")
    def _name_the_replica(self) -> Self:
        if not self.replica_id:
            # The settings are frozen, but their construction isn't finished here.
            object.__setattr__(self, "replica_id", f"{socket.gethostname()[:100]}-{self.port}")
        return self
