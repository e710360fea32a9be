"""Delivery of degraded and failed requests to the gateway's index, as well as it goes: nothing waits on disk."""

import json
from collections.abc import Sequence
from enum import Enum, auto

import urllib3

from monitoring.ended_requests.ended_request import EndedRequest

_TAKEN = range(200, 300)
# A gateway of a release without the index.
_UNKNOWN_ROUTE = frozenset({404, 405})
_REJECTED = frozenset({400, 401, 403, 413, 422})


class Delivery(Enum):
    """What came of a batch."""

    TAKEN = auto()
    LATER = auto()
    REJECTED = auto()
    NO_INDEX = auto()


class GatewayIndex:
    """Posts batches to `{url}/requests`."""

    def __init__(self, url: str, token: str | None, service: str, environment: str) -> None:
        self._url = f"{url.rstrip('/')}/requests"
        self._service = service
        self._environment = environment
        self._pool = urllib3.PoolManager(
            retries=False,
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
        )

    def deliver(self, requests: Sequence[EndedRequest], left_out: int, timeout: float) -> Delivery:
        """Send a batch, and how many requests are in none since the last one; waits up to `timeout` (s)."""
        common = {"service": self._service, "environment": self._environment}
        body = {
            "service": self._service,
            "left_out": left_out,
            "requests": [request.described() | common for request in requests],
        }
        try:
            response = self._pool.request("POST", self._url, body=json.dumps(body).encode(), timeout=timeout)
        except (urllib3.exceptions.HTTPError, OSError):
            return Delivery.LATER
        if response.status in _TAKEN:
            return Delivery.TAKEN
        if response.status in _UNKNOWN_ROUTE:
            return Delivery.NO_INDEX
        return Delivery.REJECTED if response.status in _REJECTED else Delivery.LATER
