"""The addresses of the stack under verification."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.access import HttpUrl, Token


class Settings(BaseSettings):
    """Read from the environment, as all settings of the stack are."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    collector_url: Annotated[HttpUrl, Field(description="URL of the collector's API")]
    collector_token: Annotated[Token, Field(description="Token of the collector's API")]
    gateway_url: Annotated[
        HttpUrl | None, Field(description="URL of the gateway for their alert signals; empty: none are sent")
    ] = None
    gateway_token: Annotated[Token | None, Field(description="Token of the gateway's /signals")] = None
    alert_policy: Annotated[
        Path | None, Field(description="The gateway's policy file; empty: alerts are not compared with it")
    ] = None
    airflow_python: Annotated[Path, Field(description="Python of Airflow's environment")] = Path(sys.executable)
