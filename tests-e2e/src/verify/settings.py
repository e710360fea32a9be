"""The addresses of the stack under verification."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.access import HttpUrl, SecretLine, Token


class Settings(BaseSettings):
    """Read from the environment, as all settings of the stack are."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    collector_url: Annotated[HttpUrl, Field(description="URL of the collector's API")]
    collector_token: Annotated[Token, Field(description="Token of the collector's API")]
    sentry_dsn: Annotated[SecretLine, Field(description="DSN for the events of the side services")]
    gateway_url: Annotated[
        HttpUrl | None, Field(description="URL of the gateway for their alert signals; empty: none are sent")
    ] = None
    gateway_token: Annotated[Token | None, Field(description="Token of the gateway's /signals")] = None
    airflow_python: Annotated[Path, Field(description="Python of Airflow's environment")] = Path(sys.executable)

    @property
    def project(self) -> str:
        """The number of the project in the collector."""
        return urlsplit(self.sentry_dsn.get_secret_value()).path.rpartition("/")[2]
