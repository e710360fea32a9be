"""What the gateway made of the run's alert signals: judged as any other, and told to nobody."""

from typing import Any

import httpx

from verify.collector import Arrived
from verify.fault_lab import ENVIRONMENT

TIMEOUT_SECONDS = 10.0
NOBODY = "suppressed"
Key = tuple[str, ...]


def read_alerts(gateway: str) -> dict[Key, dict[str, Any]]:
    """Return the newest incident of environment `verify` by service and fingerprint; raises `httpx.HTTPError`."""
    query = {"environment": ENVIRONMENT, "limit": "500"}
    response = httpx.get(f"{gateway.rstrip('/')}/alerts", params=query, timeout=TIMEOUT_SECONDS)
    response.raise_for_status()
    return {key_of(alert["service"], alert["fingerprint"]): alert for alert in reversed(response.json()["alerts"])}


def key_of(service: str, fingerprint: list[str]) -> Key:
    """Return what an incident is known by."""
    return (service, *fingerprint)


def key_of_event(arrived: Arrived) -> Key:
    """Return the key of an event's incident."""
    return key_of(arrived.tags.get("service", ""), arrived.event.get("fingerprint") or [])


def was_told(alert: dict[str, Any]) -> bool:
    """Say whether a message about an incident went to people, or is about to."""
    return any(notification["state"] != NOBODY for notification in alert["notifications"])
