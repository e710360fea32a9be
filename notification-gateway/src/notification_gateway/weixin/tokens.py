"""The access token: cached until shortly before it expires, and fetched once for concurrent senders."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import monitoring
from notification_gateway.delivery.channel import Rejected
from notification_gateway.weixin import errcodes
from notification_gateway.weixin.client import WeixinClient

POINT = "weixin.get_access_token_failed"
# Refreshed this long before it expires, because a running send still needs it.
MARGIN = timedelta(seconds=300)
STOPPED_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Token:
    """A token and when to fetch the next."""

    value: str
    until: datetime


class TokenCache:
    """Returns tokens. Once the credentials are rejected it makes no more calls, until the process is restarted."""

    def __init__(self, client: WeixinClient, corp_id: str, secret: str, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._parameters = {"corpid": corp_id, "corpsecret": secret}
        self._clock = clock
        self._token: Token | None = None
        self._fetching: asyncio.Task[Token | Rejected] | None = None
        self._stopped: Rejected | None = None
        # An earlier process may have reported a failure: the first token reports the recovery.
        self._failing = True

    async def get_token(self) -> str | Rejected:
        """Return a token, or why there is none."""
        if self._stopped is not None:
            return self._stopped
        if self._token is not None and self._clock() < self._token.until:
            return self._token.value
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        # Shielded: the cancellation of one sender must not cancel the fetch for the others.
        fetched = await asyncio.shield(self._fetching)
        return fetched.value if isinstance(fetched, Token) else fetched

    def invalidate(self, value: str) -> None:
        """Drop a rejected token, unless it has been replaced already."""
        if self._token is not None and self._token.value == value:
            self._token = None

    async def _fetch(self) -> Token | Rejected:
        try:
            fetched = await self._request_token()
        finally:
            self._fetching = None
        if isinstance(fetched, Token):
            self._token = fetched
            if self._failing:
                self._failing = False
                monitoring.recovered(POINT)
            return fetched
        self._failing = True
        monitoring.report(POINT, errcode=fetched.errcode, http_status=fetched.http_status, detail=fetched.reason)
        return fetched

    async def _request_token(self) -> Token | Rejected:
        answer = await self._client.get("gettoken", self._parameters)
        if isinstance(answer, Rejected):
            return replace(answer, reported=True)
        if answer.errcode in errcodes.BAD_CREDENTIALS:
            rejected = errcodes.rejected(answer.errcode, "gettoken", answer.errmsg)
            # Retryable, so that waiting messages are sent after a restart with the right credentials.
            self._stopped = replace(rejected, retryable=True, wait=STOPPED_WAIT, reported=True)
            return self._stopped
        if answer.errcode != errcodes.OK:
            rejected = errcodes.rejected(answer.errcode, "gettoken", answer.errmsg)
            return replace(rejected, retryable=True, reported=True)
        value, seconds = answer.body.get("access_token"), answer.body.get("expires_in")
        if not isinstance(value, str) or not value or not isinstance(seconds, int):
            return Rejected("gettoken: the answer holds no token", retryable=True, reported=True)
        ttl = timedelta(seconds=seconds)
        return Token(value, self._clock() + max(ttl - MARGIN, ttl / 2))
