"""What the gateway made of the run's alert signals: judged as any other, and told to nobody."""

from typing import Any

import httpx

from verify.collector import Arrived
from verify.settings import Settings
from verify.workshop import ENVIRONMENT

TIMEOUT_SECONDS = 10.0
NOBODY = "suppressed"
Key = tuple[str, ...]


class AlertReader:
    """Reads the incidents of environment `verify`."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS)

    @classmethod
    def of(cls, settings: Settings) -> "AlertReader | None":
        """Return a reader, or None where no gateway is set."""
        return None if settings.gateway_url is None else cls(settings.gateway_url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def alerts(self) -> dict[Key, dict[str, Any]]:
        """Return the newest incident by service and fingerprint; raises `httpx.HTTPError`."""
        response = self._http.get("/alerts", params={"environment": ENVIRONMENT, "limit": 500})
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
