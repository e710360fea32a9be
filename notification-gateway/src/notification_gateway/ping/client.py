"""`alertctl ping`: the running gateway sends the message, since it has the channels and their secrets."""

from urllib.parse import quote

import httpx
from pydantic import BaseModel

from contracts.command_line import REFUSED, USAGE, CommandError
from notification_gateway.gateway_client import GatewayClient

# Longer than the gateway takes at most.
TIMEOUT = httpx.Timeout(20.0, connect=5.0)


class PingAnswer(BaseModel):
    """What the gateway says of a test message."""

    channel: str
    delivered: bool
    detail: str = ""
    seconds: float = 0.0


def ping_channel(channel: str, url: str, token: str) -> PingAnswer:
    """Have a message sent; raises `CommandError`."""
    names = "--url (GATEWAY_URL) or --token (ADMIN_TOKEN)"
    # No channel has a name that can't be encoded.
    path = f"/channels/{quote(channel, safe='', errors='replace')}/ping"
    with GatewayClient.with_token(url, token, TIMEOUT, names) as gateway:
        try:
            return gateway.call("POST", path, PingAnswer)
        except CommandError as error:
            # REFUSED says here that the message wasn't delivered.
            raise CommandError(USAGE if error.code == REFUSED else error.code, str(error)) from error
