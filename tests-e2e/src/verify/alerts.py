"""The gateway's incidents of the run: evaluated like any others, but without notifications."""

from typing import Any

import httpx

from verify.collector import Arrived
from verify.fault_lab import ENVIRONMENT

TIMEOUT_SECONDS = 10.0
SUPPRESSED = "suppressed"
Key = tuple[str, ...]


def read_alerts(gateway: str) -> dict[Key, dict[str, Any]]:
    """Return the newest incident of environment `verify` by service and fingerprint; raises `httpx.HTTPError`."""
    query = {"environment": ENVIRONMENT, "limit": "500"}
    response = httpx.get(f"{gateway.rstrip('/')}/alerts", params=query, timeout=TIMEOUT_SECONDS)
    response.raise_for_status()
    return {key_of(alert["service"], alert["fingerprint"]): alert for alert in reversed(response.json()["alerts"])}


def key_of(service: str, fingerprint: list[str]) -> Key:
    """Return the key of an incident."""
    return (service, *fingerprint)


def key_of_event(arrived: Arrived) -> Key:
    """Return the key of an event's incident."""
    return key_of(arrived.tags.get("service", ""), arrived.event.get("fingerprint") or [])


def notified_people(alert: dict[str, Any]) -> bool:
    """Return whether a notification about an incident was sent, or is about to be."""
    return any(notification["state"] != SUPPRESSED for notification in alert["notifications"])
