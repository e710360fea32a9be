"""Compares the last day's interactions with those of the days before, to detect a source that has stopped."""

import numpy as np
import pyarrow as pa

from pipeline.quality.findings import Finding

_DAY = 86_400
_DAYS_BEFORE = 7
_LEAST_SHARE = 0.3


def volume_finding(ts: pa.ChunkedArray) -> Finding | None:
    """Compare the 24 hours before the last interaction with the mean of the seven days before them."""
    seconds = ts.cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64()).to_numpy()
    if not len(seconds):
        return None
    age = (seconds.max() - seconds) // _DAY
    by_day = np.bincount(age[age <= _DAYS_BEFORE], minlength=_DAYS_BEFORE + 1)
    usual = by_day[1:].mean()
    dried_up = by_day[0] < usual * _LEAST_SHARE
    return Finding(
        "interactions.volume_drop",
        "warning" if dried_up else "ok",
        f"{by_day[0]:,} interactions in the last 24 hours, {usual:,.0f} a day in the week before",
        round(float(by_day[0] / usual), 4) if usual else 1.0,
        _LEAST_SHARE,
    )
