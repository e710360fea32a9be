"""A stored rollout as the API shows it."""

from typing import Any

from sqlalchemy import Row

from contracts.outcomes import rate_of
from contracts.rollouts import ArmRate, RateDifference, RolloutRecord, RolloutStep
from model_registry.rollouts.evidence import Evidence, StepFigures
from model_registry.rollouts.queries import OPEN
from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.sequential_test import Arm


def describe(row: Row[Any], rules: RolloutRules) -> RolloutRecord:
    """Return a rollout with its curves."""
    evidence = Evidence.model_validate(row.evidence)
    steps = list(evidence.ended)
    if row.state != "completed":
        steps.append(StepFigures(percent=row.steps[row.step], since=row.step_since, figures=evidence.present))
    interval = evidence.interval(rules)
    return RolloutRecord(
        rollout_id=str(row.id),
        version=str(row.version),
        primary_version=str(row.primary_version),
        state=row.state,
        steps=row.steps,
        step=row.step,
        every_seconds=row.every_seconds,
        reason=row.reason,
        started_by=row.started_by,
        answered_by=row.answered_by,
        created_at=row.created_at,
        step_since=row.step_since,
        reviewed_at=row.reviewed_at,
        ended_at=None if row.state in OPEN else row.ended_at,
        curves=[_point(step) for step in steps],
        difference=None
        if interval is None
        else RateDifference(estimate=interval.estimate, low=interval.low, high=interval.high),
    )


def _point(step: StepFigures) -> RolloutStep:
    figures = step.figures
    return RolloutStep(
        percent=step.percent, since=step.since, canary=_rate(figures.canary), primary=_rate(figures.primary)
    )


def _rate(arm: Arm) -> ArmRate:
    rate = rate_of(min(arm.clicks, arm.exposures), arm.exposures)
    return ArmRate(exposures=arm.exposures, clicks=arm.clicks, rate=rate.rate, low=rate.low, high=rate.high)
