"""The client of a running gateway for `alertctl`."""

import json
import os
from typing import Self

import httpx
from pydantic import BaseModel

from contracts.access import check_http_url, check_token
from contracts.command_client import CommandClient, checked_option
from contracts.command_line import USAGE, CommandError

DEFAULT_URL = "http://127.0.0.1:8003"
TIMEOUT = httpx.Timeout(15.0, connect=5.0)


class GatewayClient(CommandClient):
    """Calls with GATEWAY_URL and ADMIN_TOKEN."""

    def __init__(self, url: str, token: str, timeout: httpx.Timeout = TIMEOUT) -> None:
        super().__init__(
            checked_option("GATEWAY_URL", check_http_url, url),
            checked_option("ADMIN_TOKEN", check_token, token) if token else "",
            timeout,
        )

    @classmethod
    def of_environment(cls) -> Self:
        """Return a client for GATEWAY_URL and ADMIN_TOKEN of the environment."""
        return cls(os.environ.get("GATEWAY_URL") or DEFAULT_URL, os.environ.get("ADMIN_TOKEN", ""))

    @classmethod
    def with_token(
        cls, url: str, token: str, timeout: httpx.Timeout, names: str = "GATEWAY_URL or ADMIN_TOKEN"
    ) -> Self:
        """Return a client for calls that need the token; `names` names the options in error messages."""
        try:
            check_http_url(url)
            check_token(token)
        except ValueError as error:
            raise CommandError(USAGE, f"{names} can't be used: {error}") from error
        return cls(url, token, timeout)


def as_json(body: BaseModel) -> str:
    """Return a body as indented ASCII JSON."""
    return json.dumps(body.model_dump(mode="json"), indent=2)
