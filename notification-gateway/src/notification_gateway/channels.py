"""Which channels there are, by what is configured."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from notification_gateway.delivery.channel import Channel, UnconfiguredChannel
from notification_gateway.email.channel import EmailChannel
from notification_gateway.email.server import SmtpServer
from notification_gateway.settings import Settings
from notification_gateway.weixin.channel import AppChannel, RobotChannel
from notification_gateway.weixin.client import WeixinClient
from notification_gateway.weixin.tokens import TokenCache


class UnusableChannelError(ValueError):
    """A channel can't be made of its setting: correct the setting."""


@dataclass(frozen=True)
class ConfiguredChannel:
    """A channel and how to speak of it."""

    channel: Channel
    kind: str
    configured: bool


def weixin(settings: Settings, clock: Callable[[], datetime]) -> ConfiguredChannel:
    """Return the application where one is configured, else the robot."""
    client = WeixinClient(settings.weixin_base_url)
    if settings.has_weixin_app and settings.weixin_corp_secret is not None and settings.weixin_agent_id is not None:
        tokens = TokenCache(client, settings.weixin_corp_id, settings.weixin_corp_secret.get_secret_value(), clock)
        app = AppChannel(
            client, tokens, settings.weixin_agent_id, settings.weixin_to_user, settings.weixin_message_type
        )
        return ConfiguredChannel(app, "user", configured=True)
    if settings.weixin_robot_key is not None:
        robot = RobotChannel(client, settings.weixin_robot_key.get_secret_value())
        return ConfiguredChannel(robot, "robot", configured=True)
    reason = "WeChat Work is not configured: set WEIXIN_CORP_ID and its companions, or WEIXIN_ROBOT_KEY"
    return ConfiguredChannel(UnconfiguredChannel(reason), "none", configured=False)


def email(settings: Settings) -> ConfiguredChannel:
    """Return the SMTP channel."""
    if settings.smtp_url is None:
        reason = "email is not configured: set SMTP_URL and ALERT_EMAIL_TO"
        return ConfiguredChannel(UnconfiguredChannel(reason), "none", configured=False)
    server = SmtpServer.of(settings.smtp_url.get_secret_value())
    channel = EmailChannel(server, settings.alert_email_from, settings.email_recipients)
    return ConfiguredChannel(channel, "address", configured=True)


def named(settings: Settings) -> dict[str, ConfiguredChannel]:
    """Return the channels of APPRISE_URLS by their names; raises `UnusableChannelError`."""
    if not settings.apprise_channels:
        return {}
    # Here, because the library takes time and memory that a gateway without such channels doesn't need.
    from notification_gateway.apprise_channels.channel import AppriseChannel, UnusableUrlError

    made = {}
    for name, urls in settings.apprise_channels.items():
        try:
            made[name] = ConfiguredChannel(AppriseChannel(urls), "service", configured=True)
        except UnusableUrlError as error:
            raise UnusableChannelError(f"APPRISE_URLS: {name}: {error}") from error
    return made
