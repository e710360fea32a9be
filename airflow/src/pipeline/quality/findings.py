"""What the checks of a run found."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning", "info", "ok"]


@dataclass(frozen=True)
class Finding:
    """What one check said: `value` against `threshold`, both shares in 0..1 or counts as `details` says."""

    check: str
    severity: Severity
    details: str
    value: float
    threshold: float


def share_finding(
    check: str, bad: int, total: int, what: str, *, critical_above: float, dropped: bool = True
) -> Finding:
    """Judge `bad` of `total` rows: none is fine, a share past `critical_above` stops the run."""
    if not bad:
        return Finding(check, "ok", f"0 of {total:,} {what}", 0.0, critical_above)
    share = bad / total
    severity: Severity = "critical" if share > critical_above else "warning"
    end = "; they are left out" if dropped and severity == "warning" else ""
    return Finding(check, severity, f"{bad:,} of {total:,} {what}{end}", round(share, 6), critical_above)
