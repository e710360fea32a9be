"""Whether a rollout goes on, waits, holds or rolls back: pure, of figures and a clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from contracts.outcomes import rate_of
from model_registry.rollouts.evidence import Evidence
from model_registry.rollouts.guardrails import Traffic, broken_guardrails
from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.sequential_test import (
    MIN_EXPECTED_CLICKS,
    Arm,
    Interval,
    difference,
    information_for,
    total,
)

_DAY, _HOUR, _MINUTE = 86400.0, 3600.0, 60.0


class Decision(StrEnum):
    """What to do with a rollout now."""

    GO_ON = "go on"
    WAIT = "wait"
    HOLD = "hold"
    ROLL_BACK = "roll back"


@dataclass(frozen=True)
class Verdict:
    """A decision with its reason, for people."""

    decision: Decision
    reason: str


@dataclass(frozen=True)
class Progress:
    """Where a rollout is; `asked_at` is when a person last told it to wait."""

    steps: Sequence[int]
    step: int
    every: timedelta
    step_since: datetime
    asked_at: datetime | None = None

    @property
    def due_at(self) -> datetime:
        """When the step's time is over."""
        return self.step_since + self.every

    @property
    def waiting_since(self) -> datetime:
        """From when the bound on waiting counts."""
        return max(self.due_at, self.asked_at or self.due_at)


@dataclass(frozen=True)
class Signals:
    """What is known besides the clicks: the traffic of both sides, and why the sums of clicks could not be read."""

    canary: Traffic | None
    primary: Traffic | None
    fault: str | None = None


def decide(progress: Progress, evidence: Evidence, signals: Signals, rules: RolloutRules, now: datetime) -> Verdict:
    """Return what to do.

    Roll back: a guardrail is broken, or the whole interval of the difference lies below 0. Go on: the step's time is
    over, all figures are fresh, and the interval says that the next step costs at most `tolerance` of all clicks. Hold:
    it couldn't be told within `max_wait`. A verdict by clicks is wrong with a probability of at most `alpha`, over all
    looks together.
    """
    interval = evidence.interval(rules)
    broken = _breaches(signals, rules)
    if interval is not None and interval.high < 0:
        broken.append(f"clicks per exposure are lower: {_describe_interval(interval)}")
    if broken:
        return Verdict(Decision.ROLL_BACK, "; ".join(broken))
    if now < progress.due_at:
        return Verdict(Decision.WAIT, f"the step lasts for another {_duration(progress.due_at - now)}")
    obstacles = [*_missing(evidence, signals, rules, now), *_undecided(progress, evidence, interval, rules, now)]
    if interval is not None and not obstacles:
        return Verdict(Decision.GO_ON, f"clicks per exposure: {_describe_interval(interval)}")
    reason = "; ".join(obstacles)
    if now >= progress.waiting_since + rules.max_wait:
        return Verdict(Decision.HOLD, f"not decided within {_duration(rules.max_wait)}: {reason}")
    return Verdict(Decision.WAIT, reason)


def describe_curves(evidence: Evidence, percent: int) -> str:
    """Return the rates of both sides with their 95 % intervals, step by step."""
    steps = [*((each.percent, each.figures) for each in evidence.ended), (percent, evidence.present)]
    return "; ".join(
        f"{share} %: canary {_describe_rate(figures.canary)}, primary {_describe_rate(figures.primary)}"
        for share, figures in steps
    )


def _breaches(signals: Signals, rules: RolloutRules) -> list[str]:
    if signals.canary is None or signals.primary is None:
        return []
    return list(broken_guardrails(signals.canary, signals.primary, rules))


def _missing(evidence: Evidence, signals: Signals, rules: RolloutRules, now: datetime) -> Iterator[str]:
    if signals.fault is not None:
        yield f"feature-sync can't be asked for clicks: {signals.fault}"
    elif evidence.grown_at is None or now - evidence.grown_at > rules.max_age:
        yield f"no exposure has been counted for {_duration(rules.max_age)}"
    missing = [name for name, of in (("canary", signals.canary), ("primary", signals.primary)) if of is None]
    if missing:
        yield f"no replica has lately reported the answers of the {' and the '.join(missing)}"


def _undecided(
    progress: Progress, evidence: Evidence, interval: Interval | None, rules: RolloutRules, now: datetime
) -> Iterator[str]:
    if evidence.base_at is None:
        yield f"the step is measured from {_duration(rules.burn_in)} after its beginning on"
        return
    seconds = (now - evidence.base_at).total_seconds()
    if interval is None:
        yield _few_exposures(evidence, seconds, rules)
        return
    if not evidence.present.canary.exposures:
        yield "nothing that the canary has shown in this step is counted yet"
    next_share = progress.steps[progress.step + 1] / 100
    bound = rules.tolerance * total(evidence.strata).primary.rate / next_share
    if interval.low < -bound:
        left = _time_left(evidence, interval, bound, seconds, rules)
        yield f"inconclusive: {_describe_interval(interval)}, the lower end must be at least {-bound:+.3%}{left}"


def _few_exposures(evidence: Evidence, seconds: float, rules: RolloutRules) -> str:
    both = total(evidence.strata)
    pooled = both.canary.plus(both.primary).rate
    fewest = min(both.canary.exposures, both.primary.exposures)
    needed = max(float(rules.min_exposures), MIN_EXPECTED_CLICKS / pooled if pooled else 0.0)
    gained = min(evidence.present.canary.exposures, evidence.present.primary.exposures)
    text = f"{fewest} exposures of each side, {needed:.0f} are needed"
    if not pooled:
        text += " and some clicks"
    if not gained or seconds <= 0:
        return text
    return text + _at_present_rate((needed - fewest) * seconds / gained)


def _time_left(evidence: Evidence, interval: Interval, bound: float, seconds: float, rules: RolloutRules) -> str:
    """Return how long it takes if traffic and estimate stay as they are."""
    width = bound + min(interval.estimate, 0.0)
    if width <= 0:
        return "; at the present difference it stays so"
    if evidence.rho is None:
        return ""
    present = difference((evidence.present,), alpha=rules.alpha, rho=evidence.rho, design_effect=rules.design_effect)
    if present is None or seconds <= 0:
        return ""
    needed = information_for(width, alpha=rules.alpha, rho=evidence.rho)
    return _at_present_rate((needed - interval.information) * seconds / present.information)


def _at_present_rate(seconds: float) -> str:
    return f"; at the present rate that takes about {_duration(timedelta(seconds=max(60.0, min(seconds, 1e9))))}"


def _describe_interval(interval: Interval) -> str:
    return f"canary minus primary {interval.estimate:+.3%} ({interval.low:+.3%} to {interval.high:+.3%})"


def _describe_rate(arm: Arm) -> str:
    rate = rate_of(min(arm.clicks, arm.exposures), arm.exposures)
    if rate.rate is None:
        return "-"
    return f"{rate.rate:.2%} ({rate.low:.2%} to {rate.high:.2%})"


def _duration(period: timedelta) -> str:
    seconds = period.total_seconds()
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit or (unit != _DAY and seconds >= unit):
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
