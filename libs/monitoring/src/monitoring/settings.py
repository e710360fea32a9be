"""The settings of monitoring, read from the environment."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sentry_sdk.utils import BadDsn, Dsn

from contracts.access import HttpUrl, HttpUrlOrEmpty, SecretLine, Token
from contracts.setting_values import check_number
from monitoring import catalogue
from monitoring.before_send import load_hook

# Of an OTLP receiver, below its address.
TRACES_PATH = "/v1/traces"
# Of other characters no request can be made, and the error would quote the value.
_SENDABLE = re.compile(r"[\x20-\x7e\xa0-\xff]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\s*=[\x20-\x7e]*")


def split_list(value: str) -> frozenset[str]:
    """Return the parts of a setting that are separated by commas."""
    return frozenset(part.strip() for part in value.split(",") if part.strip())


class MonitoringSettings(BaseSettings):
    """Where events and alert signals go. Without SENTRY_DSN no events, without GATEWAY_URL no signals."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    sentry_dsn: Annotated[SecretLine | None, Field(description="Collector to send events to; empty: none")] = None
    sentry_environment: Annotated[
        str, Field(pattern=r"^[^\s/]{1,64}$", description="Environment tag of every event and signal")
    ] = "development"
    sentry_release: Annotated[
        str | None, Field(pattern=r"^[^\n\r\t/\\]{1,200}$", description="Release tag; empty: the package's version")
    ] = None
    sentry_sample_rate: Annotated[
        float,
        Field(ge=0, le=1, description="Share of warning and info events that are sent; alert signals stay complete"),
    ] = 1.0
    sentry_ignored_points: Annotated[
        str, Field(description="Monitoring points, separated by commas, that send signals but no events")
    ] = ""
    sentry_before_send: Annotated[
        str | None,
        Field(description="Dotted path of a function that changes or drops events, my_package.events.before_send"),
    ] = None
    sentry_traces_sample_rate: Annotated[
        float | None, Field(ge=0, le=1, description="Share of requests traced; empty: tracing off")
    ] = None
    sentry_traces_ignored: Annotated[
        str, Field(description="Paths, separated by commas, of which no request is traced")
    ] = "/health,/ready,/metrics"
    otel_exporter_otlp_endpoint: Annotated[
        HttpUrl | None, Field(description="OTLP/HTTP receiver of spans, http://tempo:4318; empty: none are sent there")
    ] = None
    otel_exporter_otlp_headers: Annotated[
        SecretLine | None, Field(description="Headers that it asks for: name=value, separated by commas")
    ] = None
    otel_traces_sampler_arg: Annotated[
        float, Field(ge=0, le=1, description="Share of traces that begin here and are sent there")
    ] = 1.0
    gateway_url: Annotated[
        HttpUrl | None,
        Field(description="Notification gateway that alert signals go to; empty: none"),
    ] = None
    gateway_public_url: Annotated[
        HttpUrlOrEmpty,
        Field(description="Public address of the gateway, for links to its pages; empty: no such links"),
    ] = ""
    gateway_token: Annotated[
        Token | None, Field(description="Bearer token of the gateway's /signals, /requests and /reports")
    ] = None
    access_log_share: Annotated[
        float,
        Field(ge=0, le=1, description="Share of healthy requests in the log; degraded and failed ones always are"),
    ] = 0.01
    spool_dir: Annotated[
        Path | None, Field(description="Folder where undelivered events and signals wait; empty: memory only")
    ] = None
    spool_max_mb: Annotated[int, Field(ge=1, description="Size of one process's spool; past it the oldest go")] = 64
    spool_max_days: Annotated[float, Field(gt=0, description="Age past which undelivered events are dropped")] = 7

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_by_their_grammar(cls, value: object, info: ValidationInfo) -> object:
        return check_number(cls.model_fields[info.field_name or ""], value)

    @field_validator("sentry_dsn")
    @classmethod
    def _is_a_dsn(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                Dsn(value.get_secret_value())
            except BadDsn as error:
                raise ValueError(f"not a DSN ({error}); it looks like https://<key>@<host>/<project number>") from error
        return value

    @field_validator("sentry_ignored_points")
    @classmethod
    def _are_points(cls, value: str) -> str:
        if unknown := split_list(value) - catalogue.load_reported().by_id().keys():
            raise ValueError(f"no monitoring point of the catalogue: {', '.join(sorted(unknown))}")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _is_a_base_address(cls, value: str | None) -> str | None:
        if value is not None and value.rstrip("/").endswith(TRACES_PATH):
            raise ValueError(f"give the receiver's address without {TRACES_PATH}, as http://tempo:4318")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _has_usable_limits(cls, value: str | None) -> str | None:
        if value is not None:
            # See `monitoring.otlp` for why it is not imported above.
            from opentelemetry.sdk.trace import SpanLimits

            # It reads OpenTelemetry's own variables, and its error names the one that is not a number.
            SpanLimits()
        return value

    @field_validator("otel_exporter_otlp_headers")
    @classmethod
    def _are_headers(cls, value: SecretStr | None) -> SecretStr | None:
        given = frozenset() if value is None else split_list(value.get_secret_value())
        if not all(map(_HEADER.fullmatch, given)):
            raise ValueError("not name=value in ASCII, separated by commas; encode other characters by percent signs")
        if not all(map(_SENDABLE.fullmatch, map(unquote, given))):
            raise ValueError("a header has no line end, no control character and nothing beyond Latin-1")
        return value

    @field_validator("sentry_before_send")
    @classmethod
    def _is_a_hook(cls, value: str | None) -> str | None:
        if value is not None:
            load_hook(value)
        return value

    def secrets(self) -> list[str]:
        """Return the values that must never be sent or logged."""
        values = (self.sentry_dsn, self.gateway_token, self.otel_exporter_otlp_headers)
        given = [value.get_secret_value() for value in values if value is not None]
        headers = self.otel_exporter_otlp_headers
        sent = () if headers is None else split_list(headers.get_secret_value())
        return [*given, *(unquote(each).partition("=")[2].strip() for each in sent)]
