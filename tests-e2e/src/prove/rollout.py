"""Simulated rollouts: a worse canary is rolled back, an equal one reaches everybody, little traffic gives no verdict.

The decisions are those of the registry. Clicks come up to ten minutes after the exposure, their rate changes with the
time of day, and those of one answer depend on each other, so that their variance is 1.45 times the binomial one.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import pi, sin
from pathlib import Path

import numpy as np

from bench.results import Goal, Result
from contracts.outcomes import wilson_interval
from model_registry.rollouts.decision import Decision, Progress, Signals, decide
from model_registry.rollouts.evidence import Evidence
from model_registry.rollouts.guardrails import Traffic
from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.sequential_test import Arm, Stratum

ROLLOUTS = 200
STEPS = (5, 25, 50, 100)
EVERY = timedelta(minutes=30)
RULES = RolloutRules()
# Answers in a minute, of ten datasets each.
BUSY, QUIET = 400, 0.5
RATE, IN_ANSWER = 0.04, 10
# Of the clicks within an answer; 1 + 9 * 0.05 is the design effect.
CORRELATION = 0.05
HALF, EQUAL, TOO_MUCH_WORSE = 0.5, 1.0, 0.88
_BEGIN = datetime(2026, 11, 24, 3, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
# The share of the clicks that come in each minute after the exposure.
_DELAYS = np.array([0.45, 0.2, 0.12, 0.08, 0.05, 0.04, 0.03, 0.02, 0.005, 0.005])
_SOUND = Traffic(answers=1000, errors=1, fallback_answers=2, p99_ms=20.0)


@dataclass(frozen=True)
class Ending:
    """How a rollout ended: at a step, after so many minutes, and why."""

    decision: Decision
    percent: int
    minutes: int
    reason: str


@dataclass
class _Side:
    """The exposures of one side so far, and its clicks that have come and that are on their way."""

    effect: float
    exposures: int = 0
    clicks: int = 0
    coming: deque[int] = field(default_factory=lambda: deque([0] * len(_DELAYS)))

    def pass_minute(self, answers: float, rate: float, random: np.random.Generator) -> None:
        """Show answers for a minute, and let clicks come."""
        count = int(random.poisson(answers))
        mean, strength = rate * self.effect, (1 - CORRELATION) / CORRELATION
        chances = random.beta(mean * strength, (1 - mean) * strength, count)
        clicks = int(random.binomial(IN_ANSWER, chances).sum())
        self.exposures += count * IN_ANSWER
        for minute, more in enumerate(random.multinomial(clicks, _DELAYS)):
            self.coming[minute] += int(more)
        self.clicks += self.coming.popleft()
        self.coming.append(0)

    @property
    def arm(self) -> Arm:
        """What feature-sync counts."""
        return Arm(self.exposures, self.clicks)


def prove(folder: Path, seed: int) -> list[Result]:  # noqa: ARG001 - the form of a proof
    """Simulate rollouts of each kind."""
    endings = {
        (effect, answers): [simulate(effect, answers, seed + number) for number in range(ROLLOUTS)]
        for effect, answers in ((HALF, BUSY), (EQUAL, BUSY), (TOO_MUCH_WORSE, BUSY), (HALF, QUIET))
    }
    half, equal, worse, quiet = (Counter(each.decision for each in of) for of in endings.values())
    false_share = wilson_interval(equal[Decision.ROLL_BACK], ROLLOUTS)
    hours = [each.minutes / 60 for each in endings[EQUAL, BUSY] if each.decision is Decision.GO_ON]
    caught = [each.percent for each in endings[HALF, BUSY]]
    return [
        Result("rollout: half the clicks, rolled back", half[Decision.ROLL_BACK], "of 200", Goal(least=199)),
        Result("rollout: largest share that such a canary had", max(caught), "%"),
        Result("rollout: equal canary, reaches 100 %", equal[Decision.GO_ON], "of 200", Goal(least=190)),
        Result("rollout: hours until then, median", float(np.median(hours)), "h"),
        Result("rollout: equal canary, rolled back", equal[Decision.ROLL_BACK], "of 200", Goal(most=10)),
        Result("rollout: share of that, 95 % interval from", false_share[0], "share", Goal(most=RULES.alpha)),
        Result("rollout: share of that, 95 % interval to", false_share[1], "share"),
        Result("rollout: 12 % fewer clicks, reaches 100 %", worse[Decision.GO_ON], "of 200", Goal(most=10)),
        Result("rollout: too little traffic, holds", quiet[Decision.HOLD], "of 200", Goal(least=200)),
    ]


def simulate(effect: float, answers: float, seed: int, rules: RolloutRules = RULES) -> Ending:
    """Run a rollout of a canary with `effect` times the clicks, with so many answers in a minute, until it ends."""
    random = np.random.default_rng(seed)
    canary, primary = _Side(effect), _Side(1.0)
    evidence, step, since, now = Evidence(), 0, _BEGIN, _BEGIN
    while True:
        share = STEPS[step] / 100
        rate = RATE * (1 + 0.3 * sin(2 * pi * (now - _BEGIN) / timedelta(days=1)))
        canary.pass_minute(answers * share, rate, random)
        primary.pass_minute(answers * (1 - share), rate, random)
        now += _MINUTE
        evidence = evidence.observe(Stratum(canary.arm, primary.arm), since, now, rules)
        verdict = decide(Progress(STEPS, step, EVERY, since), evidence, Signals(_SOUND, _SOUND), rules, now)
        is_last = verdict.decision is Decision.GO_ON and STEPS[step + 1] == 100
        if is_last or verdict.decision in (Decision.ROLL_BACK, Decision.HOLD):
            return Ending(verdict.decision, STEPS[step], (now - _BEGIN) // _MINUTE, verdict.reason)
        if verdict.decision is Decision.GO_ON:
            evidence, step, since = evidence.end_step(STEPS[step], since), step + 1, now
