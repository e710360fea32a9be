"""What breaks a rollout at once: errors, fallback answers and slowness, as the replicas have counted them lately."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.deployments import ReplicaTraffic
from contracts.outcomes import wilson_interval
from model_registry.rollouts.rules import RolloutRules

# Below this number of answers, a single slow or failed one would decide.
MIN_ANSWERS = 500


@dataclass(frozen=True)
class Traffic:
    """Answers of one side in the last minutes; `p99_ms` is the mean over the replicas, weighted by answers."""

    answers: int
    errors: int
    fallback_answers: int
    p99_ms: float | None


def sum_traffic(reports: Iterable[ReplicaTraffic]) -> Traffic | None:
    """Return the traffic of all replicas; None if none has counted."""
    given = list(reports)
    if not given:
        return None
    timed = [(each.p99_ms, each.answers) for each in given if each.p99_ms is not None and each.answers]
    weight = sum(answers for _, answers in timed)
    return Traffic(
        answers=sum(each.answers for each in given),
        errors=sum(each.errors for each in given),
        fallback_answers=sum(each.fallback_answers for each in given),
        p99_ms=sum(p99 * answers for p99, answers in timed) / weight if weight else None,
    )


def broken_guardrails(canary: Traffic, primary: Traffic, rules: RolloutRules) -> Sequence[str]:
    """Return which bounds the canary breaks.

    A share breaks its bound if the lower end of its 95 % interval lies above the primary's share plus the increase that
    is allowed: a fuse against what is plainly broken, not a test.
    """
    if min(canary.answers, primary.answers) < MIN_ANSWERS:
        return []
    bounds = (
        ("errors", canary.errors, primary.errors, rules.max_error_increase),
        ("fallback answers", canary.fallback_answers, primary.fallback_answers, rules.max_fallback_increase),
    )
    broken = [
        f"{name}: {count / canary.answers:.2%} of the canary's answers, {other / primary.answers:.2%} of the primary's"
        for name, count, other, increase in bounds
        if wilson_interval(min(count, canary.answers), canary.answers)[0] > other / primary.answers + increase
    ]
    if canary.p99_ms is not None and primary.p99_ms and canary.p99_ms > rules.max_p99_ratio * primary.p99_ms:
        broken.append(f"p99: {canary.p99_ms:.0f} ms of the canary, {primary.p99_ms:.0f} ms of the primary")
    return broken
