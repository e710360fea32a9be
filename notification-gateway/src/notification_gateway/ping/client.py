"""`alertctl ping`: asks the running gateway, which has the channels and their secrets, to send a test message."""

from urllib.parse import quote

import httpx
from pydantic import BaseModel

from contracts.command_line import REFUSED, USAGE, CommandError
from notification_gateway.gateway_client import GatewayClient

# Longer than the gateway's own limit.
TIMEOUT = httpx.Timeout(20.0, connect=5.0)


class PingAnswer(BaseModel):
    """The gateway's answer about a test message."""

    channel: str
    delivered: bool
    detail: str = ""
    seconds: float = 0.0


def ping_channel(channel: str, url: str, token: str) -> PingAnswer:
    """Send a test message; raises `CommandError`."""
    names = "--url (GATEWAY_URL) or --token (ADMIN_TOKEN)"
    # A name that can't be encoded isn't a channel's name.
    path = f"/channels/{quote(channel, safe='', errors='replace')}/ping"
    with GatewayClient.with_token(url, token, TIMEOUT, names) as gateway:
        try:
            return gateway.call("POST", path, PingAnswer)
        except CommandError as error:
            # For this command the exit code REFUSED means an undelivered message.
            raise CommandError(USAGE if error.code == REFUSED else error.code, str(error)) from error
