"""Where the stack is that is verified."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.access import HttpUrl, SecretLine, Token


class Settings(BaseSettings):
    """Read from the environment, as everything else of the stack is."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    collector_url: Annotated[HttpUrl, Field(description="Where the collector's API answers")]
    collector_token: Annotated[Token, Field(description="Opens the collector's API")]
    sentry_dsn: Annotated[SecretLine, Field(description="Where the side processes report to")]
    gateway_url: Annotated[HttpUrl | None, Field(description="Where they send their alert signals; empty: nowhere")] = (
        None
    )
    gateway_token: Annotated[Token | None, Field(description="Opens the gateway's /signals")] = None
    airflow_python: Annotated[Path, Field(description="Python of the environment that Airflow runs in")] = Path(
        sys.executable
    )

    @property
    def project(self) -> str:
        """The collector's number of the project."""
        return urlsplit(self.sentry_dsn.get_secret_value()).path.rpartition("/")[2]
