"""The bounds by which a rollout is judged."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class RolloutRules:
    """See the settings `MODEL_ROLLOUT_…`."""

    # Of all looks at all steps together.
    alpha: float = 0.05
    # A share of all clicks that the next step may cost at most.
    tolerance: float = 0.1
    design_effect: float = 1.5
    min_exposures: int = 1000
    burn_in: timedelta = timedelta(minutes=5)
    max_age: timedelta = timedelta(minutes=10)
    max_wait: timedelta = timedelta(hours=24)
    # Shares of the answers, beyond those of the primary.
    max_error_increase: float = 0.01
    max_fallback_increase: float = 0.05
    max_p99_ratio: float = 1.5
