"""What every service reads from its environment, and the refusal to run production on made-up secrets."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.access import Host
from contracts.setting_values import check_number

DEVELOPMENT_SECRET = "insecure-development-secret"  # noqa: S105 - refused in production


class ServiceSettings(BaseSettings):
    """Settings that all services share; each service's own class extends it."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    environment: Annotated[
        Literal["development", "test", "production"], Field(description="In production, default secrets are refused")
    ] = "development"
    host: Annotated[Host, Field(description="Address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on")] = 8000
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="Least level that is logged")
    ] = "INFO"

    def secrets(self) -> list[str]:
        """Return every configured secret value, for redaction."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [
            value.get_secret_value() for value in values if isinstance(value, SecretStr) and value.get_secret_value()
        ]

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_by_their_grammar(cls, value: object, info: ValidationInfo) -> object:
        return check_number(cls.model_fields[info.field_name or ""], value)

    @model_validator(mode="after")
    def _refuse_default_secrets(self) -> Self:
        if self.environment != "production":
            return self
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(field.default, SecretStr) and isinstance(value, SecretStr) and value == field.default:
                raise ValueError(f"{name.upper()} has its default value; set a secret of its own in production")
        return self
