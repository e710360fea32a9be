"""Everything that recommender-api reads from its environment."""

import socket
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from contracts.access import HttpUrl, SingleLine, Token
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
            "how each is written is in OPERATIONS.md",
        ),
        AfterValidator(checked),
    ] = "redis://127.0.0.1:6379/0"
    redis_budget_ms: Annotated[
        float,
        Field(gt=0, description="Longest wait for one Redis call; at 5 ms a healthy Redis trips the breaker"),
    ] = 25
    request_budget_ms: Annotated[
        float,
        Field(
            gt=0,
            description="Time in which the main path must answer before the fallback does; "
            "reading Redis must end within 60 % of it, recall within 80 %",
        ),
    ] = 150
    queue_budget_ms: Annotated[
        float,
        Field(
            gt=0,
            description="Longest wait of a question for its turn; past it questions are refused with 503. "
            "Half of REDIS_BUDGET_MS at most, which runs meanwhile",
        ),
    ] = 10

    registry_url: Annotated[HttpUrl, Field(description="The model registry")] = "http://127.0.0.1:8001"
    registry_token: Annotated[Token, Field(description="Bearer token of the registry")] = SecretStr(DEVELOPMENT_SECRET)
    model_name: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$", description="Name of the model in the registry")
    ] = "ranker"
    model_poll_seconds: Annotated[
        float, Field(gt=0, description="How often the registry is asked for the active deployment")
    ] = 1.0
    model_cache_dir: Annotated[
        Path, Field(description="Folder of downloaded bundles; what was active last starts from here")
    ] = Path(".run/model-cache")
    replica_id: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9._-]{0,128}$", description="Name of this replica; empty: host name and port")
    ] = ""

    shadow_sample_rate: Annotated[
        float, Field(ge=0, le=1, description="Share of the ranked answers whose questions a shadow is asked too")
    ] = 0.1
    shadow_cpu_share: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Most of its time that a process spends on the shadow; past it questions are dropped",
        ),
    ] = 0.05

    events_token: Annotated[Token, Field(description="Bearer token that opens POST /events")] = SecretStr(
        DEVELOPMENT_SECRET
    )
    admin_token: Annotated[Token, Field(description="Bearer token that opens POST /models/reload")] = SecretStr(
        DEVELOPMENT_SECRET
    )
    event_journal_dir: Annotated[
        Path, Field(description="Folder where behaviour events wait while Redis is down; one per replica")
    ] = Path(".run/event-journal")
    event_journal_max_mb: Annotated[
        int, Field(ge=1, description="Size of that journal; past it POST /events answers 503")
    ] = 64

    def secrets(self) -> list[str]:
        """Return every configured secret value, the passwords of the Redis URL included."""
        return [*super().secrets(), *parse(self.redis_url).secrets()]

    @model_validator(mode="after")
    def _name_the_replica(self) -> Self:
        if not self.replica_id:
            # The settings are frozen; this is still their making.
            object.__setattr__(self, "replica_id", f"{socket.gethostname()[:100]}-{self.port}")
        return self
