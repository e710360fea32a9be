"""The schema of the policy file; the default policy is `deploy/alerts.yaml`."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from contracts.signals import Level
from notification_gateway.policy.channel_names import ChannelName, SendingChannelName
from notification_gateway.policy.mentions import MAX_MENTIONED, Mention
from notification_gateway.policy.quiet_hours import QuietHours

Priority = Literal["P0", "P1", "P2", "none"]
Alert = Literal["immediate", "hourly_summary", "daily_digest"]
Channel = str

ANY_TAIL = "**"
_RATE = re.compile(r"\s*>\s*([0-9]{1,9})\s+per\s+(minute|hour|day)\s*")
_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_Part):
    """More than `threshold` occurrences in the last `window`; written `"> 10 per hour"`."""

    threshold: int
    window: timedelta

    def __str__(self) -> str:
        return f"> {self.threshold} per {next(name for name, unit in _UNITS.items() if unit == self.window)}"


def _rate(value: object) -> object:
    if isinstance(value, Rate):
        return value
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('write a rate as "> 10 per hour" (minute, hour or day), in quotes')
    return Rate(threshold=int(found[1]), window=_UNITS[found[2]])


class Condition(_Part):
    """Matches a signal if all named properties match; `level: error` also matches fatal signals."""

    fingerprint: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None
    level: Level | None = None
    category: str | None = None
    service: str | None = None
    rate: Annotated[Rate | None, BeforeValidator(_rate)] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any((self.fingerprint, self.level, self.category, self.service)):
            raise ValueError("a condition needs at least one of fingerprint, level, category, service")
        if self.fingerprint and ANY_TAIL in self.fingerprint[:-1]:
            raise ValueError(f'"{ANY_TAIL}" stands for any number of parts, so it can only be the last part')
        return self


class Action(_Part):
    """One way to notify: when, by which channel, and whom to mention."""

    alert: Alert
    channel: ChannelName
    mention: Annotated[tuple[Mention, ...], Field(max_length=MAX_MENTIONED)] = ()

    @model_validator(mode="after")
    def _check_channel_and_mentions(self) -> Self:
        if (self.alert, self.channel) == ("immediate", "dashboard"):
            raise ValueError("the dashboard sends no immediate messages: use weixin or email, or daily_digest")
        if self.mention and self.alert != "immediate":
            raise ValueError("only an immediate message mentions people")
        return self


PRIORITY_ACTIONS: Mapping[Priority, tuple[Action, ...]] = MappingProxyType(
    {
        "P0": (Action(alert="immediate", channel="weixin"),),
        "P1": (Action(alert="hourly_summary", channel="email"),),
        "P2": (Action(alert="daily_digest", channel="dashboard"),),
        "none": (),
    }
)


class Rule(_Part):
    """A signal that matches one of the conditions gets the priority and the actions.

    A rule without a priority gets that of its most urgent action.
    """

    name: Annotated[str, Field(min_length=1, max_length=128)]
    priority: Literal["P0", "P1", "P2"]
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)]
    actions: Annotated[tuple[Action, ...], Field(min_length=1)]
    quiet_hours: QuietHours | None = None

    @field_validator("quiet_hours")
    @classmethod
    def _check_quiet_hours(cls, value: QuietHours | None, info: ValidationInfo) -> QuietHours | None:
        if value is None:
            return value
        if info.data.get("priority") == "P0" and not value.hold_p0:
            raise ValueError("a P0 would wait until they end: set `hold_p0: true` to allow that")
        if all(action.alert != "immediate" for action in info.data.get("actions", ())):
            raise ValueError("they hold back immediate messages, and the rule has no such action")
        return value

    @model_validator(mode="before")
    @classmethod
    def _take_priority_of_actions(cls, rule: Any) -> Any:
        if not isinstance(rule, dict) or "priority" in rule or not isinstance(rule.get("actions"), list | tuple):
            return rule
        alerts = [action.get("alert") for action in rule["actions"] if isinstance(action, dict)]
        for priority, actions in PRIORITY_ACTIONS.items():
            if any(action.alert in alerts for action in actions):
                return rule | {"priority": priority}
        return rule


class Escalation(_Part):
    """An open P0 without an acknowledgement for so many minutes is sent once more, by these channels."""

    after_minutes: Annotated[int, Field(ge=1, le=24 * 60)]
    channels: Annotated[tuple[SendingChannelName, ...], Field(min_length=1)]

    @property
    def after(self) -> timedelta:
        """How long an incident may wait for an acknowledgement."""
        return timedelta(minutes=self.after_minutes)


class Policy(_Part):
    """The rules in order: the first matching one applies; without a match the level's default does."""

    defaults: Mapping[Literal["error", "warning", "info"], Priority]
    rules: tuple[Rule, ...] = ()
    escalation: Escalation | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        seen: set[str] = set()
        for rule in self.rules:
            if rule.name in seen:
                raise ValueError(f"two rules are named {rule.name!r}; a message names its rule, so give each its own")
            seen.add(rule.name)
        return self

    def default_priority(self, level: Level) -> Priority:
        """Return the priority without a matching rule: fatal counts as error, debug has none."""
        if level == "debug":
            return "none"
        return self.defaults.get("error" if level == "fatal" else level, "none")

    def actions_of(self, rule: str | None, priority: Priority) -> tuple[Action, ...]:
        """Return the actions of a rule by its name; without such a rule those of the priority."""
        return next((each.actions for each in self.rules if each.name == rule), PRIORITY_ACTIONS[priority])

    def quiet_until(self, rule: str | None, at: datetime) -> datetime | None:
        """Return the end of a rule's quiet hours at a time, or None outside of them."""
        found = next((each.quiet_hours for each in self.rules if each.name == rule), None)
        return None if found is None else found.until(at)

    def longest_window(self) -> timedelta:
        """Return how far back rates look."""
        rates = [condition.rate for rule in self.rules for condition in rule.conditions if condition.rate]
        return max((rate.window for rate in rates), default=timedelta(0))
