"""The settings that decide when DAGs run; they are read at every parsing, without the pipeline's packages."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.time_zones import TimeZoneName


class ScheduleSettings(BaseSettings):
    """The time zone of the weekly report."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    timezone: Annotated[TimeZoneName, Field(description="Time zone (IANA), such as Asia/Shanghai")] = "UTC"
