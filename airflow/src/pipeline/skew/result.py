"""The result of a comparison, as `skew/skew.json` of a run holds it."""

from pydantic import AwareDatetime, BaseModel

from contracts.data_checks import DataCheckSeverity
from pipeline.bundle.quantiles import SCORES
from pipeline.skew.comparison import Verdict

MAX_EXAMPLES = 5
# Events come late in every stack, and each snapshot switch takes a moment. More than this is a fault of the stack.
WARNING_SHARE = 0.05
CHECK = "served_features.skew"
# The convention for a large shift. The features of the scores' shift are named.
MAX_STABILITY_INDEX = 0.25
DRIFT_CHECK = "served_scores.drift"
_NAMED_FEATURES = 3
_CAUSES = (Verdict.CODE, Verdict.STALE_SNAPSHOT, Verdict.LIVE_HISTORY, Verdict.LATE_EVENT)


class SkewExample(BaseModel):
    """An answer that differs."""

    request_id: str
    served_id: str
    model_version: str
    cause: Verdict


class SkewResult(BaseModel):
    """How many answers of a time span were ranked with the features that training computes."""

    since: AwareDatetime
    until: AwareDatetime
    verdicts: dict[Verdict, int]
    examples: list[SkewExample] = []
    # By version: the population stability index (PSI) of each feature and of the scores.
    drift: dict[str, dict[str, float]] = {}

    @property
    def compared(self) -> int:
        """The answers that could be computed again."""
        return sum(self.verdicts.get(verdict, 0) for verdict in (Verdict.EQUAL, *_CAUSES))

    @property
    def differing(self) -> int:
        """The answers that differ."""
        return sum(self.verdicts.get(verdict, 0) for verdict in _CAUSES)

    @property
    def share(self) -> float:
        """The share of the compared answers that differ."""
        return self.differing / self.compared if self.compared else 0.0

    @property
    def cause(self) -> Verdict | None:
        """The worst cause, None if no answer differs."""
        return next((cause for cause in _CAUSES if self.verdicts.get(cause, 0)), None)

    @property
    def severity(self) -> DataCheckSeverity:
        """What it means: a difference that no data explains is critical, others are above a share."""
        if self.cause is Verdict.CODE:
            return "critical"
        return "warning" if self.share > WARNING_SHARE else "ok"

    @property
    def score_drift(self) -> float:
        """The largest PSI of the scores of a version."""
        return max((found.get(SCORES, 0.0) for found in self.drift.values()), default=0.0)

    @property
    def drift_details(self) -> str:
        """One line for people: each version with its features that moved most."""
        lines = []
        for version, found in self.drift.items():
            moved = sorted(((psi, name) for name, psi in found.items() if name != SCORES), reverse=True)
            named = ", ".join(f"{name} {psi:.2f}" for psi, name in moved[:_NAMED_FEATURES])
            lines.append(f"version {version}: PSI of the scores {found.get(SCORES, 0.0):.2f}; of features {named}")
        return "; ".join(lines)

    @property
    def details(self) -> str:
        """One line for people."""
        causes = ", ".join(f"{self.verdicts[cause]:,} {cause}" for cause in _CAUSES if self.verdicts.get(cause, 0))
        gone = self.verdicts.get(Verdict.UNVERIFIABLE, 0)
        text = f"{self.differing:,} of {self.compared:,} sampled answers differ from what training computes"
        return text + (f" ({causes})" if causes else "") + (f"; {gone:,} can't be compared" if gone else "")
