"""Compares the last day's interactions with those of comparable days: a source stops, or repeats itself."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import pdtr, pdtrc

from pipeline.quality.calendar_days import IsRestDay
from pipeline.quality.findings import Finding
from pipeline.quality.profiling import DAY_SECONDS, day_of, utc_seconds
from pipeline.quality.rules import InteractionRules

_DAYS_BEFORE = 56
_WEEK = 7
_NEARBY_DAYS = 28
_FEWEST_COMPARABLE = 3
# A small marketplace has quiet days: with so small a probability by chance (Poisson), it is another thing.
_CHANCE = 1e-4


def volume_findings(ts: pa.ChunkedArray, rules: InteractionRules, is_rest_day: IsRestDay) -> list[Finding]:
    """Compare the 24 hours before the last interaction with comparable ones before them; none without interactions."""
    seconds = utc_seconds(ts)
    if not len(seconds):
        return []
    newest = int(seconds.max())
    age = (newest - seconds) // DAY_SECONDS
    by_day = np.bincount(age[age <= _DAYS_BEFORE], minlength=_DAYS_BEFORE + 1)
    usual = float(np.median(by_day[_comparable(by_day, newest, is_rest_day)]))
    last = int(by_day[0])
    share = round(last / usual, 4) if usual else 1.0
    details = f"{last:,} interactions in the last 24 hours, {usual:,.0f} on comparable days before"
    low, high = rules.volume_drop.warning, rules.volume_spike.warning
    is_low = low is not None and usual > 0 and last < usual * low and pdtr(last, usual) < _CHANCE
    is_high = (
        high is not None
        and last > usual * high
        and usual > 0
        and bool(by_day[1 : _WEEK + 1].all())
        and pdtrc(last, usual) < _CHANCE
    )
    return [
        Finding("interactions.volume_drop", "warning" if is_low else "ok", details, share, low or 0.0),
        Finding("interactions.volume_spike", "warning" if is_high else "ok", details, share, high or 0.0),
    ]


def _comparable(by_day: NDArray[np.int64], newest: int, is_rest_day: IsRestDay) -> list[int]:
    """Return the ages of comparable days: the same weekday, else the same kind of day, else the week before."""
    # A day of age n ends n days before the newest interaction; its middle says which date it is of.
    rests = [is_rest_day(day_of(newest - n * DAY_SECONDS - DAY_SECONDS // 2)) for n in range(len(by_day))]
    oldest = int(np.flatnonzero(by_day).max())
    for ages in (range(_WEEK, _DAYS_BEFORE + 1, _WEEK), range(1, _NEARBY_DAYS + 1)):
        same = [n for n in ages if rests[n] == rests[0] and n < oldest]
        if len(same) >= _FEWEST_COMPARABLE:
            return same
    return list(range(1, _WEEK + 1))
