"""The gateway's incidents of the run, which are evaluated like any others but not sent, and the intended alerts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from monitoring.catalogue import Point
from notification_gateway.delivery.routing import route
from notification_gateway.policy.evaluation import Decision, decide
from notification_gateway.policy.matching import Subject
from notification_gateway.policy.model import Policy, Priority
from verify.collector import Arrived
from verify.fault_lab import ENVIRONMENT

TIMEOUT_SECONDS = 10.0
# The difference between a reporter's clock and ours.
_SKEW = timedelta(seconds=5)
SUPPRESSED = "suppressed"
IMMEDIATE = "immediate"
Key = tuple[str, ...]
_WORDS = {IMMEDIATE: "at once", "hourly_summary": "hourly", "daily_digest": "daily"}


@dataclass(frozen=True)
class Alert:
    """An incident as the gateway's API shows it; `link` is its page, empty if that gateway has ended."""

    shown: Mapping[str, Any]
    link: str = ""

    @property
    def priority(self) -> Priority:
        """The priority that the gateway gave it."""
        priority: Priority = self.shown["priority"]
        return priority

    @property
    def key(self) -> Key:
        """The key that it shares with its events."""
        return key_of(self.shown["service"], self.shown["fingerprint"])

    def notified_people(self) -> bool:
        """Return whether a notification was sent, or is about to be."""
        return any(notification["state"] != SUPPRESSED for notification in self.shown["notifications"])

    def has_message(self, channel: str) -> bool:
        """Return whether a message was made for a channel, or none is due: it is explained or silenced."""
        made = {notification["channel"] for notification in self.shown["notifications"]}
        return channel in made or self.shown["parent_id"] is not None or self.shown["silence_id"] is not None


@dataclass(frozen=True)
class Way:
    """One way in which an incident reaches people: when, and by which channel."""

    when: str
    channel: str

    def __str__(self) -> str:
        return f"{self.channel} {_WORDS[self.when]}"


@dataclass(frozen=True)
class Intended:
    """What the policy intends for an event: a priority, and the ways to people."""

    priority: Priority
    ways: tuple[Way, ...]

    def __str__(self) -> str:
        return f"{self.priority} {', '.join(map(str, self.ways))}" if self.ways else "none"


@dataclass(frozen=True)
class _Described:
    category: str
    monitoring_point: str
    fingerprint: tuple[str, ...]


class AlertReader:
    """Reads the incidents of environment `verify` that a signal has reached since `began`.

    `gateway` is the stack's, None: there is none. `ended` are the incidents of gateways that have ended.
    """

    def __init__(self, gateway: str | None, began: datetime, ended: Sequence[Alert]) -> None:
        self._gateway = None if gateway is None else gateway.rstrip("/")
        self._since = began - _SKEW
        self._ended = {alert.key: alert for alert in ended}

    def read(self) -> dict[Key, Alert] | None:
        """Return the newest incident by service and fingerprint, None without a gateway; raises `httpx.HTTPError`."""
        if self._gateway is None:
            return None
        query = {"environment": ENVIRONMENT, "limit": "500"}
        response = httpx.get(f"{self._gateway}/alerts", params=query, timeout=TIMEOUT_SECONDS)
        response.raise_for_status()
        found = [
            Alert(shown, f"{self._gateway}/dashboard/incident/{shown['id']}")
            for shown in reversed(response.json()["alerts"])
            if datetime.fromisoformat(shown["last_seen"]) >= self._since
        ]
        return self._ended | {alert.key: alert for alert in found}


def intended_alerts(policy: Policy, point: Point, arrived: Arrived) -> tuple[Intended, ...]:
    """Return what the policy intends for an event: with its rates not exceeded, and with its rates exceeded."""
    fingerprint = tuple(arrived.event.get("fingerprint") or ())
    level = arrived.event.get("level") or point.level
    subject = Subject(fingerprint, level, point.category, arrived.tags.get("service", ""))
    described = _Described(point.category, point.id, fingerprint)
    decisions = (
        decide(policy, subject, lambda _, rate: rate.threshold),
        decide(policy, subject, lambda _, rate: rate.threshold + 1),
    )
    return tuple(_intended(decision, described) for decision in decisions)


def _intended(decision: Decision, described: _Described) -> Intended:
    routed = (route(described, action.alert, action.channel) for action in decision.actions)
    return Intended(decision.priority, tuple(Way(*each) for each in routed))


def key_of(service: str, fingerprint: list[str]) -> Key:
    """Return the key of an incident."""
    return (service, *fingerprint)


def key_of_event(arrived: Arrived) -> Key:
    """Return the key of an event's incident."""
    return key_of(arrived.tags.get("service", ""), arrived.event.get("fingerprint") or [])
