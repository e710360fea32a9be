"""The results of a run's checks."""

from dataclasses import dataclass

from contracts.data_checks import DataCheckSeverity
from pipeline.quality.rules import Bound


@dataclass(frozen=True)
class Finding:
    """The result of one check: `value` against `threshold`, both shares in 0..1 or counts as `details` says."""

    check: str
    severity: DataCheckSeverity
    details: str
    value: float
    threshold: float


def share_finding(
    check: str,
    bad: int,
    total: int,
    what: str,
    *,
    critical_above: float,
    warning_above: float = 0.0,
    consequence: str = "they are left out",
    example: str = "",
    advice: str = "",
) -> Finding:
    """Judge `bad` of `total` rows: a share up to `warning_above` is ok, one above `critical_above` stops the run."""
    if not bad:
        return Finding(check, "ok", f"0 of {total:,} {what}", 0.0, critical_above)
    share = bad / total
    severity: DataCheckSeverity = "ok" if share <= warning_above else "warning"
    if share > critical_above:
        severity = "critical"
    details = [f"{bad:,} of {total:,} {what}{f', such as {example}' if example else ''}"]
    details += [consequence] if severity != "critical" else []
    details += [advice] if advice else []
    return Finding(check, severity, "; ".join(details), round(share, 6), critical_above)


def bounded_finding(check: str, value: float, bound: Bound, details: str, advice: str = "") -> Finding:
    """Judge a value: above `critical` it stops the run, above `warning` it is reported; `advice` follows then."""
    severity: DataCheckSeverity = "ok"
    threshold = bound.warning if bound.warning is not None else bound.critical
    if bound.critical is not None and value > bound.critical:
        severity, threshold = "critical", bound.critical
    elif bound.warning is not None and value > bound.warning:
        severity = "warning"
    text = f"{details}; {advice}" if advice and severity != "ok" else details
    return Finding(check, severity, text, round(value, 6), 0.0 if threshold is None else threshold)
