"""The alert policy as Sentry workflows (their API of 2025 and later); pure.

Sentry knows no globs over fingerprints, so a condition becomes the monitoring points that it can match: each event
names its own in the tag `monitoring_point`. A rate counts the events of one issue there, and of the whole condition in
the gateway.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from contracts.signals import Level
from monitoring import catalogue
from monitoring.catalogue import Point
from notification_gateway.policy.matching import fingerprint_matches
from notification_gateway.policy.model import Condition, Policy, Rule

PREFIX = "recsys: "
_LEVELS: dict[Level, int] = {"fatal": 50, "error": 40, "warning": 30, "info": 20, "debug": 10}
# How many minutes Sentry stays quiet about one issue; it takes these values alone.
_FREQUENCIES = {"P0": 5, "P1": 60, "P2": 1440}
_INTERVALS = {60: "1min", 3600: "1h", 86400: "1d"}


def workflows(policy: Policy, installation: str, detectors: Sequence[str]) -> list[dict[str, Any]]:
    """Return the body of one workflow for each rule; `installation` is that of the integration to be called."""
    return [_workflow(rule, installation, detectors) for rule in policy.rules]


def _workflow(rule: Rule, installation: str, detectors: Sequence[str]) -> dict[str, Any]:
    return {
        "name": f"{PREFIX}{rule.name}",
        "enabled": True,
        # No triggers: each event that passes the filters counts. What is new, the gateway knows.
        "config": {"frequency": _FREQUENCIES[rule.priority]},
        "triggers": {"logicType": "any-short", "conditions": [], "actions": []},
        "actionFilters": [
            {"logicType": "all", "conditions": conditions, "actions": [_call(installation)]}
            for condition in rule.conditions
            for conditions in _filters(condition)
        ],
        "detectorIds": list(detectors),
    }


def _filters(condition: Condition) -> Iterator[list[dict[str, Any]]]:
    for point in _points(condition):
        conditions = [_tag("monitoring_point", point.id)]
        if condition.service is not None:
            conditions.append(_tag("service", condition.service))
        if condition.level is not None:
            match = "gte" if condition.level == "error" else "eq"
            conditions.append(_is("level", {"level": _LEVELS[condition.level], "match": match}))
        if condition.rate is not None:
            interval = _INTERVALS[int(condition.rate.window.total_seconds())]
            conditions.append(_is("event_frequency_count", {"value": condition.rate.threshold, "interval": interval}))
        yield conditions


def _points(condition: Condition) -> list[Point]:
    """Return the points that a condition can match; those that it names go before those that it might mean."""
    possible = [point for point in catalogue.load_all() if _can_match(condition, point)]
    return [point for point in possible if _names(condition, point)] or possible


def _names(condition: Condition, point: Point) -> bool:
    """Say whether what is filled in at run time meets globs only: a step could be called `no_recent_run`, but isn't."""
    pairs = zip(point.fingerprint, condition.fingerprint or (), strict=False)
    return all("*" in wanted or "?" in wanted for part, wanted in pairs if part.startswith("<"))


def _can_match(condition: Condition, point: Point) -> bool:
    if condition.category not in (None, point.category):
        return False
    pattern = condition.fingerprint
    if pattern is None:
        return True
    # What is filled in at run time can be anything, so it is left to the pattern's own parts.
    known = [
        part if not part.startswith("<") else wanted for part, wanted in zip(point.fingerprint, pattern, strict=False)
    ]
    return fingerprint_matches(pattern, [*known, *point.fingerprint[len(known) :]])


def _is(kind: str, comparison: object) -> dict[str, Any]:
    return {"type": kind, "comparison": comparison, "conditionResult": True}


def _tag(key: str, value: str) -> dict[str, Any]:
    return _is("tagged_event", {"key": key, "match": "eq", "value": value})


def _call(installation: str) -> dict[str, Any]:
    return {
        "type": "sentry_app",
        "integrationId": None,
        "data": {},
        "config": {
            "targetType": "sentry_app",
            "targetIdentifier": installation,
            "sentryAppIdentifier": "sentry_app_installation_uuid",
        },
        "status": "active",
    }
