"""`alertctl ping`: the running gateway sends the message, since it has the channels and their secrets."""

from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from contracts.access import check_http_url, check_token
from contracts.command_line import UNREACHABLE, USAGE, CommandError, printable

DEFAULT_URL = "http://127.0.0.1:8003"
# Longer than the gateway takes at most.
TIMEOUT = httpx.Timeout(20.0, connect=5.0)


class PingAnswer(BaseModel):
    """What the gateway says of a test message."""

    channel: str
    delivered: bool
    detail: str = ""
    seconds: float = 0.0


class ProblemAnswer(BaseModel):
    """The part of a problem that a person reads."""

    detail: str = ""


def ping_channel(channel: str, url: str, token: str) -> PingAnswer:
    """Have a message sent; raises `CommandError`."""
    try:
        check_http_url(url)
        check_token(token)
    except ValueError as error:
        raise CommandError(USAGE, f"--url (GATEWAY_URL) or --token (ADMIN_TOKEN): {error}") from error
    path = f"{url.rstrip('/')}/channels/{quote(channel, safe='')}/ping"
    try:
        response = httpx.post(path, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
        raise CommandError(UNREACHABLE, f"{url} can't be reached ({type(error).__name__})") from error
    if response.is_server_error:
        raise CommandError(UNREACHABLE, f"{url} answers HTTP {response.status_code}")
    try:
        if response.is_success:
            return PingAnswer.model_validate_json(response.content)
        told = ProblemAnswer.model_validate_json(response.content).detail
    except ValidationError as error:
        raise CommandError(UNREACHABLE, f"{url} is not a notification gateway") from error
    raise CommandError(USAGE, printable(f"HTTP {response.status_code}: {told}", token))
