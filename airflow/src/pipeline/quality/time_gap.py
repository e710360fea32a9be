"""Finds a few interactions whose times are years away from the rest, and are therefore probably wrong."""

import numpy as np
import pyarrow as pa

from pipeline.quality.findings import Finding

_CHECK = "interactions.implausible_ts"
_FEW = 0.05
_YEAR = 365 * 86_400
_GAP_SECONDS = 3 * _YEAR


def time_gap_finding(ts: pa.ChunkedArray) -> Finding:
    """Count the interactions that are separated from the others by a gap of years; they are kept."""
    seconds = np.sort(ts.cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64()).to_numpy())
    few = int(len(seconds) * _FEW)
    if not few:
        return Finding(_CHECK, "ok", f"{len(seconds):,} interactions are too few for this check", 0.0, _FEW)
    gaps = np.diff(seconds)
    first = 0
    if gaps[:few].max() >= _GAP_SECONDS:
        first = int(np.flatnonzero(gaps[:few] >= _GAP_SECONDS)[-1]) + 1
    last = len(seconds)
    if gaps[-few:].max() >= _GAP_SECONDS:
        last = len(gaps) - few + int(np.flatnonzero(gaps[-few:] >= _GAP_SECONDS)[0]) + 1
    outliers = first + len(seconds) - last
    details = f"{outliers:,} of {len(seconds):,} interactions are years away from the rest by `ts`"
    if outliers:
        strange = seconds[0] if first else seconds[-1]
        rest = (_date(seconds[first]), _date(seconds[last - 1]))
        details += (
            f", such as {_date(strange)} (the rest: {' to '.join(rest)}); they are kept; correct them at their source"
        )
    return Finding(_CHECK, "warning" if outliers else "ok", details, round(outliers / len(seconds), 6), _FEW)


def _date(seconds: np.int64) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))
