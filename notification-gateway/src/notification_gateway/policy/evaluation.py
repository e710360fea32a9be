"""Evaluates the policy for a signal."""

from collections.abc import Callable
from dataclasses import dataclass

from notification_gateway.policy.matching import Subject, matches
from notification_gateway.policy.model import PRIORITY_ACTIONS, Action, Condition, Policy, Priority, Rate
from notification_gateway.policy.quiet_hours import QuietHours

# Returns the occurrences that match a condition within the window of its rate, including the current signal.
CountOccurrences = Callable[[Condition, Rate], int]


@dataclass(frozen=True, slots=True)
class Decision:
    """The priority, the rule that gave it (None: the level's default), and the reason in words.

    `exceeded` is the condition with a rate that decided; `missed` are those before it whose rate was not exceeded.
    """

    priority: Priority
    rule: str | None
    actions: tuple[Action, ...]
    reason: str
    exceeded: Condition | None = None
    missed: tuple[Condition, ...] = ()
    quiet_hours: QuietHours | None = None


def decide(policy: Policy, subject: Subject, count: CountOccurrences) -> Decision:
    """Return the decision of the first matching rule, or of the level's default."""
    missed: list[Condition] = []
    for rule in policy.rules:
        for number, condition in enumerate(rule.conditions, start=1):
            if not matches(condition, subject):
                continue
            reason, exceeded = f"rule {rule.name!r}, condition {number}", None
            if condition.rate is not None:
                counted = count(condition, condition.rate)
                if counted <= condition.rate.threshold:
                    missed.append(condition)
                    continue
                reason += f": {counted} is {condition.rate}"
                exceeded = condition
            return Decision(
                rule.priority, rule.name, rule.actions, reason, exceeded, tuple(missed), quiet_hours=rule.quiet_hours
            )
    priority = policy.default_priority(subject.level)
    reason = f"no rule matches; level {subject.level} is {priority}"
    return Decision(priority, None, PRIORITY_ACTIONS[priority], reason, missed=tuple(missed))
