"""What a rollout has measured so far; stored with it as JSON, so that another process can go on."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.sequential_test import Arm, Interval, Stratum, difference, is_measurable, total


class StepFigures(BaseModel):
    """What a step that has ended was judged by."""

    model_config = ConfigDict(frozen=True)

    percent: int
    since: datetime
    figures: Stratum


class Evidence(BaseModel):
    """Figures of the steps that have ended, and of the present one.

    The present step counts from `base`, the sums at the end of its burn-in. Before that, clicks on what was shown with
    the shares of the step before still come in, and the newest exposures had no time to be clicked. From then on both
    are the same share of each side.
    """

    model_config = ConfigDict(frozen=True)

    ended: tuple[StepFigures, ...] = ()
    base: Stratum | None = None
    base_at: datetime | None = None
    # The sums since the rollout began, as last read, and when they last grew.
    counts: Stratum | None = None
    grown_at: datetime | None = None
    # Fixed by the first figures that are enough, so that later ones can't move the test.
    rho: float | None = None

    @property
    def present(self) -> Stratum:
        """The figures of the present step; nothing until its burn-in is over."""
        if self.base is None or self.counts is None:
            return Stratum(Arm(), Arm())
        return Stratum(self.counts.canary.since(self.base.canary), self.counts.primary.since(self.base.primary))

    @property
    def strata(self) -> Sequence[Stratum]:
        """The figures of all steps."""
        return (*(each.figures for each in self.ended), self.present)

    def observe(self, counts: Stratum, step_since: datetime, now: datetime, rules: RolloutRules) -> "Evidence":
        """Return the evidence after another look at the sums."""
        if self.counts is not None and _has_shrunk(self.counts, counts):
            # feature-sync has lost or moved rows: the step is measured anew, and nothing has grown by that.
            return self.model_copy(update={"base": None, "base_at": None, "counts": counts})
        changed: dict[str, object] = {"counts": counts}
        if self.counts is None or _exposures(counts) > _exposures(self.counts):
            changed["grown_at"] = now
        if self.base is None and now >= step_since + rules.burn_in:
            changed |= {"base": counts, "base_at": now}
        observed = self.model_copy(update=changed)
        if observed.rho is None and is_measurable(observed.strata):
            scale = rules.tolerance * total(observed.strata).primary.rate
            observed = observed.model_copy(update={"rho": 1 / scale**2 if scale else None})
        return observed

    def end_step(self, percent: int, since: datetime) -> "Evidence":
        """Return the evidence at the beginning of the next step."""
        ended = StepFigures(percent=percent, since=since, figures=self.present)
        return self.model_copy(update={"ended": (*self.ended, ended), "base": None, "base_at": None})

    def interval(self, rules: RolloutRules) -> Interval | None:
        """Return the difference of the rates; None before there are enough figures for a verdict."""
        canary = total(self.strata).canary
        if self.rho is None or canary.exposures < rules.min_exposures or not is_measurable(self.strata):
            return None
        return difference(self.strata, alpha=rules.alpha, rho=self.rho, design_effect=rules.design_effect)


def _exposures(counts: Stratum) -> int:
    return counts.canary.exposures + counts.primary.exposures


def _has_shrunk(before: Stratum, after: Stratum) -> bool:
    return any(new < old for arms in zip(before, after, strict=True) for old, new in zip(*arms, strict=True))
