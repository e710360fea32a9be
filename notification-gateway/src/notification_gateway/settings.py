"""The settings of notification-gateway, from environment variables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from contracts.access import (
    HttpUrl,
    HttpUrlOrEmpty,
    HttpUrlWithUserOrEmpty,
    SecretLine,
    SecretUrl,
    SingleLine,
    Token,
)
from contracts.query_values import Flag
from contracts.time_zones import TimeZoneName
from notification_gateway.apprise_urls import parse_urls
from notification_gateway.language import Language
from notification_gateway.policy.mentions import split_mentions
from notification_gateway.url_secrets import secret_parts
from servicekit.database_urls import DatabaseUrl
from servicekit.settings import DEVELOPMENT_SECRET, ServiceSettings


def simulator_problem(simulated: Sequence[str]) -> str:
    """Return why production rejects simulators, and what to set instead."""
    return (
        f"ENVIRONMENT is production, but {' and '.join(simulated)} lead to a simulator, so no alert would arrive: "
        "set WeChat Work's and the mail server's own address and credentials, or another ENVIRONMENT"
    )


# Formats of an application's messages; a robot has no cards. Ordinary WeChat doesn't show markdown.
WeixinMessageType = Literal["text", "markdown", "textcard"]
_APP_FIELDS = ("weixin_corp_id", "weixin_corp_secret", "weixin_agent_id", "weixin_to_user")


class Settings(ServiceSettings):
    """Settings of notification-gateway."""

    port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on")] = 8003

    database_url: Annotated[
        DatabaseUrl, Field(description="Database of signals, incidents and deliveries (schema `gateway`)")
    ] = SecretStr("sqlite:///recsys.db")
    alert_policy: Annotated[Path, Field(description="The policy file; read again when it changes")] = Path(
        "deploy/alerts.yaml"
    )

    gateway_token: Annotated[
        Token, Field(description="Bearer token for /signals, /notify, /webhooks/alertmanager and PUT /reports")
    ] = SecretStr(DEVELOPMENT_SECRET)
    admin_token: Annotated[
        Token,
        Field(description="Bearer token for every change of state and for stored signals; also signs links"),
    ] = SecretStr(DEVELOPMENT_SECRET)
    sentry_webhook_secret: Annotated[
        SecretLine, Field(description="Client secret of the Sentry integration that calls /webhooks/sentry")
    ] = SecretStr(DEVELOPMENT_SECRET)

    weixin_base_url: Annotated[HttpUrl, Field(description="WeChat Work's API; the simulator's address in the demo")] = (
        "https://qyapi.weixin.qq.com"
    )
    weixin_corp_id: Annotated[SingleLine, Field(description="Corp id; empty: no application messages")] = ""
    weixin_corp_secret: Annotated[Token | None, Field(description="Secret of the WeChat Work application")] = None
    weixin_agent_id: Annotated[int | None, Field(description="Id of the WeChat Work application")] = None
    weixin_to_user: Annotated[
        SingleLine, Field(description="Who gets the messages: user ids separated by |, or @all")
    ] = ""
    weixin_mention: Annotated[
        SingleLine,
        Field(description="People that immediate messages mention: user ids, phone numbers or @all, separated by |"),
    ] = ""
    weixin_message_type: Annotated[
        WeixinMessageType, Field(description="Format of an application's messages; ordinary WeChat shows no markdown")
    ] = "text"
    weixin_robot_key: Annotated[
        Token | None, Field(description="Key of a group robot; used where no application is configured")
    ] = None

    weixin_simulated: Annotated[
        Flag,
        Field(description="Whether WEIXIN_BASE_URL is the demo's simulator; rejected in production"),
    ] = False

    smtp_url: Annotated[
        SecretLine | None,
        Field(description="smtp://user:password@host:587 (TLS where offered) or smtps://…:465; empty: no email"),
    ] = None
    email_simulated: Annotated[
        Flag, Field(description="Whether SMTP_URL is the demo's mail catcher; rejected in production")
    ] = False
    alert_email_to: Annotated[SingleLine, Field(description="Who gets the emails: addresses separated by commas")] = ""
    alert_email_from: Annotated[SingleLine, Field(description="Sender of the emails")] = "alerts@localhost"

    apprise_urls: Annotated[
        SecretLine | None,
        Field(
            description="More channels by Apprise's URLs (DingTalk, Feishu, Slack, Telegram …): "
            "ops=slack://… oncall=tgram://…; their names go into the policy"
        ),
    ] = None

    alert_language: Annotated[Language, Field(description="Language of the messages: Chinese, English or both")] = (
        "both"
    )
    alert_timezone: Annotated[
        TimeZoneName, Field(description="Time zone (IANA) of the times in messages and of the daily digest")
    ] = "Asia/Shanghai"
    alert_digest_hour: Annotated[int, Field(ge=0, le=23, description="Local hour at which a digest's day ends")] = 9
    collector_url: Annotated[HttpUrlOrEmpty, Field(description="Collector that messages link to; empty: no links")] = ""
    gateway_public_url: Annotated[
        HttpUrlOrEmpty,
        Field(description="Public address of this gateway, for links in messages; empty: no such links"),
    ] = "http://127.0.0.1:8003"
    registry_url: Annotated[
        HttpUrlOrEmpty,
        Field(
            description="Registry whose models the dashboard shows, and whose named tokens are accepted; empty: none"
        ),
    ] = ""
    registry_read_token: Annotated[
        Token | None,
        Field(
            description="Bearer token that reads the registry; empty: the dashboard reads without, and no named token"
        ),
    ] = None
    feature_sync_url: Annotated[
        HttpUrlOrEmpty,
        Field(description="feature-sync, whose audit log the dashboard reads by ADMIN_TOKEN; empty: not shown"),
    ] = ""
    model_name: Annotated[str, Field(description="The model that the dashboard shows")] = "ranker"
    prometheus_url: Annotated[
        HttpUrlWithUserOrEmpty,
        Field(description="Prometheus that the dashboard queries; empty: none"),
    ] = ""
    runbook_url: Annotated[
        SingleLine,
        Field(
            description="Page of runbooks; messages add the anchor of the monitoring point. Empty: the gateway's own "
            "`/runbook/<point>`"
        ),
    ] = ""
    sentry_environment: Annotated[
        str, Field(pattern=r"^[^\s/]{1,64}$", description="Environment whose runs of the pipeline are expected")
    ] = "development"
    expected_run_hours: Annotated[
        float,
        Field(
            ge=0,
            le=8760,
            description="Hours without a successful run of the pipeline until a P0 is raised; 0: never",
        ),
    ] = 26
    delivery_lease_seconds: Annotated[
        float,
        Field(gt=0, description="Seconds until a message whose sender died is sent again; twice a send's timeout"),
    ] = 20
    heartbeat_url: Annotated[
        SecretUrl | None,
        Field(
            description="Called each minute while alerts are delivered (a dead man's switch such as Healthchecks); "
            "empty: not called"
        ),
    ] = None
    retention_days: Annotated[
        int, Field(ge=1, description="Days after which signals and closed incidents are deleted")
    ] = 30

    def secrets(self) -> list[str]:
        """Return every secret value, and the secret parts of URLs."""
        urls = [self.prometheus_url, *(url for urls in self.apprise_channels.values() for url in urls)]
        if self.heartbeat_url is not None:
            urls.append(self.heartbeat_url.get_secret_value())
        return [*super().secrets(), *(part for url in urls for part in secret_parts(url))]

    @property
    def apprise_channels(self) -> dict[str, list[str]]:
        """The URLs of `apprise_urls` by the names of their channels."""
        return {} if self.apprise_urls is None else parse_urls(self.apprise_urls.get_secret_value())

    @field_validator("apprise_urls")
    @classmethod
    def _are_named_urls(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_urls(value.get_secret_value())
        return value

    @property
    def email_recipients(self) -> list[str]:
        """The addresses of `alert_email_to`."""
        return [address.strip() for address in self.alert_email_to.split(",") if address.strip()]

    @field_validator("weixin_mention")
    @classmethod
    def _are_mentions(cls, value: str) -> str:
        split_mentions(value)
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_an_smtp_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                parts = urlsplit(value.get_secret_value())
                usable = parts.scheme in ("smtp", "smtps") and parts.hostname and parts.port != 0
            except ValueError:
                usable = False
            if not usable:
                raise ValueError("use smtp://user:password@host:587 or smtps://user:password@host:465")
        return value

    @model_validator(mode="after")
    def _channels_are_whole(self) -> Self:
        given = [name for name in _APP_FIELDS if getattr(self, name)]
        if given and (missing := [name for name in _APP_FIELDS if name not in given]):
            raise ValueError(
                f"{', '.join(name.upper() for name in missing)} must be set too, because {given[0].upper()} is"
            )
        if self.smtp_url is not None and not self.email_recipients:
            raise ValueError("ALERT_EMAIL_TO must be set too, because SMTP_URL is")
        return self

    @model_validator(mode="after")
    def _reject_simulators(self) -> Self:
        if self.environment == "production" and (simulated := self.simulated):
            raise ValueError(simulator_problem(simulated))
        return self

    @property
    def simulated(self) -> list[str]:
        """The variables that point to a simulator."""
        flags = (("WEIXIN_BASE_URL", self.weixin_simulated), ("SMTP_URL", self.email_simulated))
        return [name for name, is_simulated in flags if is_simulated]

    @property
    def has_weixin_app(self) -> bool:
        """Whether an application's credentials are set."""
        return bool(self.weixin_corp_id)
