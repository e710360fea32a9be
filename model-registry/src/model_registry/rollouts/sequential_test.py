"""Whether a canary gets fewer clicks per exposure than the primary: an interval that may be looked at at any time.

Each step of a rollout is a stratum: in it the shares are constant, so the time of day is the same for both sides. With
`d` the difference of the rates in a stratum and `v` its variance with the pooled rate `p`,

    d = x_c / n_c - x_p / n_p        v = p (1 - p) (1 / n_c + 1 / n_p) * design_effect

the strata are combined by their inverse variances: `V = sum(1 / v)` and `D = sum(d / v) / V`. In the information time
`V` the sum is a Brownian motion with drift. The normal mixture with variance `τ²` over its drift gives the interval

    D ± sqrt((V + ρ) · log((V + ρ) / (ρ α²))) / V        ρ = 1 / τ²

which contains the true difference at all looks together with a probability of at least `1 - α`: Robbins (1970),
"Statistical methods related to the law of the iterated logarithm"; Johari, Koomen, Pekelis and Walsh (2022), "Always
valid inference: continuous monitoring of A/B tests" (mSPRT); for the normal approximation, Waudby-Smith, Arbour, Sinha,
Kennedy and Ramdas (2024), "Time-uniform central limit theory and asymptotic confidence sequences". `τ` only decides at
which amount of data the interval is narrowest; it must not depend on later data.

The approximation needs some clicks on both sides (`MIN_EXPECTED_CLICKS`). Exposures of one answer are not independent;
the design effect says by how much that widens the variance (Kish, 1965).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

MIN_EXPECTED_CLICKS = 20.0


class Arm(NamedTuple):
    """Exposures of one side, and how many of them were clicked."""

    exposures: int = 0
    clicks: int = 0

    @property
    def rate(self) -> float:
        """Clicks per exposure; 0 without exposures."""
        return self.clicks / self.exposures if self.exposures else 0.0

    def plus(self, other: "Arm") -> "Arm":
        """Return both together."""
        return Arm(self.exposures + other.exposures, self.clicks + other.clicks)

    def since(self, earlier: "Arm") -> "Arm":
        """Return what has come after `earlier`, an amount of the same count."""
        return Arm(self.exposures - earlier.exposures, self.clicks - earlier.clicks)


class Stratum(NamedTuple):
    """What both sides have had in a step."""

    canary: Arm
    primary: Arm


class Interval(NamedTuple):
    """The difference of the rates (canary minus primary), its bounds, and the information that they rest on."""

    estimate: float
    low: float
    high: float
    information: float


def total(strata: Sequence[Stratum]) -> Stratum:
    """Return the sums over all steps."""
    canary, primary = Arm(), Arm()
    for each in strata:
        canary, primary = canary.plus(each.canary), primary.plus(each.primary)
    return Stratum(canary, primary)


def is_measurable(strata: Sequence[Stratum]) -> bool:
    """Return whether both sides have enough clicks for the normal approximation."""
    both = total(strata)
    pooled = both.canary.plus(both.primary).rate
    fewest = min(both.canary.exposures, both.primary.exposures)
    return fewest * pooled >= MIN_EXPECTED_CLICKS


def difference(strata: Sequence[Stratum], *, alpha: float, rho: float, design_effect: float = 1.0) -> Interval | None:
    """Return the confidence sequence of canary minus primary; None if no stratum has information."""
    score, information = 0.0, 0.0
    for each in strata:
        gained = _information(each, design_effect)
        score += (each.canary.rate - each.primary.rate) * gained
        information += gained
    if not information:
        return None
    estimate, half = score / information, half_width(information, alpha=alpha, rho=rho)
    return Interval(estimate, estimate - half, estimate + half, information)


def half_width(information: float, *, alpha: float, rho: float) -> float:
    """Return half the width of the interval at an amount of information."""
    mixed = information + rho
    return math.sqrt(mixed * math.log(mixed / (rho * alpha**2))) / information


def information_for(width: float, *, alpha: float, rho: float) -> float:
    """Return the information at which half the interval is as narrow as `width`, above 0."""
    low = high = rho
    while half_width(high, alpha=alpha, rho=rho) > width:
        high *= 2
    while half_width(low, alpha=alpha, rho=rho) < width:
        low /= 2
    while high - low > low * 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if half_width(middle, alpha=alpha, rho=rho) > width else (low, middle)
    return high


def _information(stratum: Stratum, design_effect: float) -> float:
    canary, primary = stratum
    pooled = canary.plus(primary).rate
    if not canary.exposures or not primary.exposures or not 0 < pooled < 1:
        return 0.0
    return 1 / (pooled * (1 - pooled) * (1 / canary.exposures + 1 / primary.exposures) * design_effect)
