"""Converts the alert policy into Sentry workflows (API of 2025 and later); pure.

Sentry has no globs for fingerprints, so a condition becomes a filter per monitoring point that it can match, by the tag
`monitoring_point` of events. In Sentry a rate counts the events of one issue; in the gateway, those of the condition.
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
# Minutes between two alerts about one issue; Sentry accepts certain values only.
_FREQUENCIES = {"P0": 5, "P1": 60, "P2": 1440}
_INTERVALS = {60: "1min", 3600: "1h", 86400: "1d"}


def workflows(policy: Policy, installation: str, detectors: Sequence[str]) -> list[dict[str, Any]]:
    """Return one workflow body per rule; `installation` is the id of the integration that it calls."""
    return [_workflow(rule, installation, detectors) for rule in policy.rules]


def _workflow(rule: Rule, installation: str, detectors: Sequence[str]) -> dict[str, Any]:
    return {
        "name": f"{PREFIX}{rule.name}",
        "enabled": True,
        # No triggers: every event that passes the filters calls the gateway, which finds out what is new.
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
    """Return the points that a condition names; if there are none, all that it can match."""
    possible = [point for point in catalogue.load_all() if _can_match(condition, point)]
    return [point for point in possible if _names(condition, point)] or possible


def _names(condition: Condition, point: Point) -> bool:
    """Say whether the variable parts of a point's fingerprint meet only globs of the condition, and no literal text."""
    pairs = zip(point.fingerprint, condition.fingerprint or (), strict=False)
    return all("*" in wanted or "?" in wanted for part, wanted in pairs if part.startswith("<"))


def _can_match(condition: Condition, point: Point) -> bool:
    if condition.category not in (None, point.category):
        return False
    pattern = condition.fingerprint
    if pattern is None:
        return True
    # A variable part can have any value, so it counts as equal to the pattern's part.
    parts = [
        part if not part.startswith("<") else wanted for part, wanted in zip(point.fingerprint, pattern, strict=False)
    ]
    return fingerprint_matches(pattern, [*parts, *point.fingerprint[len(parts) :]])


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
