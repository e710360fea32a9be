"""Follows the registry's list of named tokens, for the services beside it."""

import asyncio
import logging
import ssl
from http import HTTPStatus

import httpx
from pydantic import SecretStr, ValidationError

from contracts.access_tokens import TokenDigests
from servicekit.background import BackgroundLoops
from servicekit.tokens import KnownToken, Tokens

INTERVAL_SECONDS = 5.0
_TIMEOUT = httpx.Timeout(5.0)
_log = logging.getLogger(__name__)


def add_token_list(loops: BackgroundLoops, tokens: Tokens, url: str, token: SecretStr | None) -> None:
    """Add the loop that follows the registry at `url`, if a service has its address and a token for it."""
    if url and token is not None:
        loops.add("named tokens", TokenListFollower(tokens, url, token).step, interval=INTERVAL_SECONDS)


class TokenListFollower:
    """Fetches the list. While the registry doesn't answer, the last one is used, for `MAX_AGE` at most."""

    def __init__(self, tokens: Tokens, url: str, token: SecretStr) -> None:
        self._tokens = tokens
        self._url = f"{url.rstrip('/')}/tokens/digests"
        self._token = token
        self._etag = ""
        self._failure: str | None = None
        self._ssl: ssl.SSLContext | None = None

    async def step(self) -> None:
        """Fetch the list once; a failure is logged when it begins and when it ends."""
        failure = await asyncio.to_thread(self._fetch)
        if failure != self._failure:
            _log.warning("the registry's tokens: %s", failure or "read again")
        self._failure = failure

    def _fetch(self) -> str | None:
        headers = {"Authorization": f"Bearer {self._token.get_secret_value()}", "If-None-Match": self._etag}
        # Made once: reading the certificates takes longer than the call.
        self._ssl = self._ssl or httpx.create_ssl_context()
        try:
            response = httpx.get(self._url, headers=headers, timeout=_TIMEOUT, verify=self._ssl)
        except httpx.HTTPError as error:
            return type(error).__name__
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            self._tokens.confirm_named()
            return None
        if not response.is_success:
            return f"HTTP {response.status_code}"
        try:
            listed = TokenDigests.model_validate_json(response.content)
        except ValidationError:
            return "not the registry's answer"
        self._tokens.replace_named(KnownToken.of_digest(each) for each in listed.tokens)
        self._etag = response.headers.get("ETag", "")
        return None
