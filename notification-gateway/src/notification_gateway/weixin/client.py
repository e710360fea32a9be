"""The HTTP client of WeChat Work: returns JSON answers with an errcode, or `Rejected`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from notification_gateway.delivery.channel import Rejected
from servicekit.outbound.http import Response, async_client, call_async

HTTP_OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer; `errcode` 0 is success."""

    errcode: int
    body: Mapping[str, Any]

    @property
    def errmsg(self) -> object:
        """The error text, which is untrusted; don't decide by it."""
        return self.body.get("errmsg")


class WeixinClient:
    """Calls operations below `/cgi-bin`; never raises for failures of the network or the other side."""

    def __init__(self, base_url: str) -> None:
        self._http = async_client(f"{base_url.rstrip('/')}/cgi-bin/")

    async def get(self, operation: str, parameters: Mapping[str, str]) -> Answer | Rejected:
        """Call an operation that reads."""
        return await self._call("GET", operation, parameters, None)

    async def post(
        self, operation: str, parameters: Mapping[str, str], message: Mapping[str, Any]
    ) -> Answer | Rejected:
        """Call an operation that sends."""
        return await self._call("POST", operation, parameters, message)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _call(
        self, method: str, operation: str, parameters: Mapping[str, str], message: Mapping[str, Any] | None
    ) -> Answer | Rejected:
        try:
            response = await call_async(self._http, method, operation, params=dict(parameters), json=message)
        except httpx.HTTPError as error:
            # Not the error's text: it may name the address, and that holds the secret.
            return Rejected(f"{operation}: no answer ({type(error).__name__})", retryable=True)
        return _read(operation, response)


def _read(operation: str, response: Response) -> Answer | Rejected:
    status = response.status
    if status != HTTP_OK:
        return Rejected(f"{operation}: HTTP {status}", retryable=True, http_status=status)
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        body = None
    errcode = body.get("errcode") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(errcode, int) or isinstance(errcode, bool):
        return Rejected(f"{operation}: the answer is not WeChat Work's", retryable=True, http_status=status)
    return Answer(errcode, body)
