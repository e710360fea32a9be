"""The simulator's settings from its environment; it accepts the credentials given here."""

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of the WeChat Work simulator and of the mail catcher beside it."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    host: Annotated[str, Field(description="Address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on")] = 8010
    smtp_port: Annotated[int, Field(ge=1, le=65535, description="Port of the mail catcher")] = 8025
    weixin_corp_id: Annotated[str, Field(description="Id of the only corporation")] = "ww0123456789abcdef"
    weixin_corp_secret: Annotated[SecretStr, Field(description="Secret of its application")] = SecretStr(
        "simulated-corp-secret"
    )
    weixin_agent_id: Annotated[int, Field(description="Id of the application that may send")] = 1000002
    weixin_robot_key: Annotated[SecretStr, Field(description="Key of the only group robot")] = SecretStr(
        "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"
    )
