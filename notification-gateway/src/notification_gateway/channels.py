"""Builds the channels from the settings."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from notification_gateway.delivery.channel import Channel, ConfiguredChannel, Delivered, Outcome, UnconfiguredChannel
from notification_gateway.email.channel import EmailChannel
from notification_gateway.email.server import SmtpServer
from notification_gateway.language import Language, Phrase
from notification_gateway.outbox.notice import Line, Notice
from notification_gateway.settings import Settings
from notification_gateway.weixin.channel import AppChannel, RobotChannel
from notification_gateway.weixin.client import WeixinClient
from notification_gateway.weixin.tokens import TokenCache

_SIMULATED = (Phrase("模拟器", "Simulator"), Phrase("演示环境，没有人收到", "a demo: nobody got this"))


class UnusableChannelError(ValueError):
    """A channel can't be built from its setting: correct the setting."""


class SimulatedChannel:
    """A channel to a simulator; it marks each message as simulated."""

    def __init__(self, channel: Channel, language: Language) -> None:
        self._channel = channel
        self._line = Line(label=_SIMULATED[0].to(language), value=_SIMULATED[1].to(language))

    @property
    def per_minute(self) -> int | None:
        """See `Channel`."""
        return self._channel.per_minute

    @property
    def max_concurrent_sends(self) -> int:
        """See `Channel`."""
        return self._channel.max_concurrent_sends

    async def send(self, notice: Notice, key: str) -> Outcome:
        """Send the marked message to the simulator."""
        marked = notice.model_copy(update={"lines": (self._line, *notice.lines)})
        outcome = await self._channel.send(marked, key)
        if isinstance(outcome, Delivered):
            return replace(outcome, by="simulator")
        return outcome

    async def close(self) -> None:
        """Close its connections."""
        await self._channel.close()


def build_channels(settings: Settings, clock: Callable[[], datetime]) -> dict[str, ConfiguredChannel]:
    """Return all channels by name, configured or not; raises `UnusableChannelError`."""
    return {"weixin": weixin(settings, clock), "email": email(settings), **apprise_channels(settings)}


def weixin(settings: Settings, clock: Callable[[], datetime]) -> ConfiguredChannel:
    """Return the channel of the application if one is configured, else of the robot."""
    return _mark_simulated(_weixin(settings, clock), settings, is_simulated=settings.weixin_simulated)


def email(settings: Settings) -> ConfiguredChannel:
    """Return the SMTP channel."""
    return _mark_simulated(_email(settings), settings, is_simulated=settings.email_simulated)


def _mark_simulated(configured: ConfiguredChannel, settings: Settings, *, is_simulated: bool) -> ConfiguredChannel:
    if not is_simulated or not configured.configured:
        return configured
    return replace(configured, channel=SimulatedChannel(configured.channel, settings.alert_language), is_simulated=True)


def _weixin(settings: Settings, clock: Callable[[], datetime]) -> ConfiguredChannel:
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


def _email(settings: Settings) -> ConfiguredChannel:
    if settings.smtp_url is None:
        reason = "email is not configured: set SMTP_URL and ALERT_EMAIL_TO"
        return ConfiguredChannel(UnconfiguredChannel(reason), "none", configured=False)
    server = SmtpServer.of(settings.smtp_url.get_secret_value())
    channel = EmailChannel(server, settings.alert_email_from, settings.email_recipients)
    return ConfiguredChannel(channel, "address", configured=True)


def apprise_channels(settings: Settings) -> dict[str, ConfiguredChannel]:
    """Return the channels of APPRISE_URLS by name; raises `UnusableChannelError`."""
    if not settings.apprise_channels:
        return {}
    # Imported here: a gateway without such channels doesn't need the library's time and memory.
    from notification_gateway.apprise_channels.channel import AppriseChannel, UnusableUrlError

    built = {}
    for name, urls in settings.apprise_channels.items():
        try:
            built[name] = ConfiguredChannel(AppriseChannel(urls), "service", configured=True)
        except UnusableUrlError as error:
            raise UnusableChannelError(f"APPRISE_URLS: {name}: {error}") from error
    return built
