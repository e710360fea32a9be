"""The checks of the interactions as a whole: their age, gaps, concentration and repetition."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.quality.calendar_days import IsRestDay
from pipeline.quality.catalogue_checks import outlier_price
from pipeline.quality.findings import Finding, bounded_finding
from pipeline.quality.profile import Activity, Profile
from pipeline.quality.profiling import DAY_SECONDS, Tables, utc_seconds
from pipeline.quality.rules import Bound, InteractionRules

# Shares of fewer interactions say nothing.
_FEW = 500
_FEW_PURCHASES = 20
_GAP_WINDOW_DAYS = 90
# A day of which comparable days on both sides have this many interactions does not stay empty by chance.
_BUSY_DAY = 20
_EMPTY_SHARE = 0.02
_BUSY_QUANTILE = 0.75
_MISMATCH = 10.0
# The largest difference between two time zones.
_LONGEST_SHIFT = 26 * 3600
# A regular schedule of few interactions repeats itself, too.
_FEW_COMPARED = 1000
# Enough for a share; users are sampled whole.
_MOST_COMPARED = 1_000_000


def activity_findings(
    tables: Tables, profile: Profile, earlier: Sequence[Profile], rules: InteractionRules, is_rest_day: IsRestDay
) -> list[Finding]:
    """Return the results of all checks of the interactions as a whole."""
    rows = tables.interactions
    columns = profile.interactions.columns
    return [
        *_freshness(profile.activity, earlier, rules.freshness_days),
        _missing_days(profile.activity, is_rest_day, rules.missing_days),
        _share("same_ts", columns["ts"].largest_share, len(rows), "have the same `ts`", rules.same_ts),
        _busiest_hour(profile.activity, len(rows), rules.busiest_hour),
        _share("largest_user", columns["user_id"].largest_share, len(rows), "are of one user", rules.largest_user),
        _share(
            "largest_dataset",
            columns["dataset_id"].largest_share,
            len(rows),
            "are about one dataset",
            rules.largest_dataset,
        ),
        _one_type(profile.activity),
        outlier_price("interactions", rows["price"], rules.outlier_price),
        _price_mismatch(tables, rules.price_mismatch),
        _shifted_duplicate(rows, rules.shifted_duplicate),
    ]


def _freshness(activity: Activity, earlier: Sequence[Profile], bound: Bound) -> list[Finding]:
    """Judge the age of the newest interaction; without interactions there is no age, and no result.

    Old data that was never fresh is an export, on which a first model may be trained. Data that was fresh in an earlier
    run has a source that has stopped.
    """
    check = "interactions.freshness_days"
    if activity.newest is None or activity.freshness_seconds is None:
        return []
    days_old = max(0.0, activity.freshness_seconds / DAY_SECONDS)
    fresh_until = timedelta(days=bound.warning or 0.0).total_seconds()
    ages = (each.activity.freshness_seconds for each in earlier)
    was_fresh = any(age is not None and age <= fresh_until for age in ages)
    details = f"the newest interaction is {days_old:.1f} days old ({activity.newest:%Y-%m-%d %H:%M} UTC)"
    return [
        bounded_finding(
            check,
            days_old,
            bound if was_fresh else Bound(warning=bound.warning, critical=None),
            details,
            "has the source stopped, or the extraction?",
        )
    ]


def _missing_days(activity: Activity, is_rest_day: IsRestDay, bound: Bound) -> Finding:
    missing = find_missing_days(activity, is_rest_day)
    details = f"{len(missing):,} days without interactions lie among busy days"
    if missing:
        details += f": {missing[0]}" if len(missing) == 1 else f", from {missing[0]} to {missing[-1]}"
    return bounded_finding("interactions.missing_days", len(missing), bound, details, "was their import left out?")


def find_missing_days(activity: Activity, is_rest_day: IsRestDay) -> list[date]:
    """Return the days of the last 90 that are empty, though days of their kind before and after them are busy."""
    if not activity.by_day:
        return []
    first, last = min(activity.by_day), max(activity.by_day)
    start = max(first, last - timedelta(days=_GAP_WINDOW_DAYS))
    days = [start + timedelta(days=number) for number in range((last - start).days + 1)]
    counts = np.array([activity.rows_of(day) for day in days])
    kinds = np.array([is_rest_day(day) for day in days])
    missing = []
    nearly_empty = np.flatnonzero(counts <= counts.max() * _EMPTY_SHARE)
    for place in nearly_empty[(nearly_empty > 0) & (nearly_empty < len(days) - 1)]:
        same = (kinds == kinds[place]) & (counts > 0)
        usual = min(_busy(counts[:place][same[:place]]), _busy(counts[place + 1 :][same[place + 1 :]]))
        if usual >= _BUSY_DAY and counts[place] <= usual * _EMPTY_SHARE:
            missing.append(days[place])
    return missing


def _busy(counts: NDArray[np.int64]) -> float:
    return float(np.quantile(counts, _BUSY_QUANTILE)) if len(counts) else 0.0


def _share(name: str, share: float, rows: int, what: str, bound: Bound) -> Finding:
    check = f"interactions.{name}"
    details = f"{share:.1%} of {rows:,} interactions {what}"
    if rows < _FEW:
        return Finding(check, "ok", details, share, bound.warning or 0.0)
    return bounded_finding(check, share, bound, details, "is it a robot, a test account or a default value?")


def _busiest_hour(activity: Activity, rows: int, bound: Bound) -> Finding:
    check = "interactions.busiest_hour"
    hour = int(np.argmax(activity.by_hour))
    share = activity.by_hour[hour] / max(1, rows)
    details = f"{share:.1%} of {rows:,} interactions lie in the hour from {hour:02}:00"
    if rows < _FEW:
        return Finding(check, "ok", details, round(share, 6), bound.warning or 0.0)
    return bounded_finding(check, share, bound, details, "is `ts` a date without a time, or the time of an import?")


def _one_type(activity: Activity) -> Finding:
    check = "interactions.one_type"
    rows = sum(activity.by_type.values())
    share = max(activity.by_type.values(), default=0) / max(1, rows)
    if rows < _FEW or share < 1:
        return Finding(check, "ok", f"{len(activity.by_type)} types of interactions", round(share, 6), 1.0)
    return Finding(check, "info", f"all {rows:,} interactions are of the type {next(iter(activity.by_type))}", 1.0, 1.0)


def _price_mismatch(tables: Tables, bound: Bound) -> Finding:
    """Count purchases whose price is less than a tenth, or more than ten times, of their dataset's."""
    check = "interactions.price_mismatch"
    rows = tables.interactions
    sold = rows.filter(pc.and_(pc.equal(rows["type"], "purchase"), pc.greater(rows["price"], 0)))
    if len(sold) < _FEW_PURCHASES:
        return Finding(check, "ok", f"{len(sold):,} purchases have a price", 0.0, bound.warning or 0.0)
    places = pc.index_in(sold["dataset_id"], tables.datasets["id"])
    paid = sold["price"].to_numpy()
    listed = tables.datasets["price"].take(places).to_numpy()
    with np.errstate(invalid="ignore"):
        # A dataset without a price compares as false: another check counts it.
        differs = (paid > listed * _MISMATCH) | (paid * _MISMATCH < listed)
    count = int(differs.sum())
    details = (
        f"{count:,} of {len(sold):,} purchases have a price unlike their dataset's by a factor above {_MISMATCH:g}"
    )
    return bounded_finding(check, count / len(sold), bound, details, "are both columns in the same unit?")


def _shifted_duplicate(rows: pa.Table, bound: Bound) -> Finding:
    """Count interactions that follow another of the same user, dataset and type at the most frequent distance.

    A source that was read twice, once in another time zone, repeats its rows at one distance.
    """
    check = "interactions.shifted_duplicate"
    user, dataset, kind, second = _compared(rows)
    if len(user) < _FEW_COMPARED:
        return Finding(check, "ok", f"{len(rows):,} interactions are too few for this check", 0.0, bound.warning or 0.0)
    order = np.lexsort((second, kind, dataset, user))
    user, dataset, kind, second = user[order], dataset[order], kind[order], second[order]
    follows = (np.diff(user) == 0) & (np.diff(dataset) == 0) & (np.diff(kind) == 0)
    distance = np.diff(second)[follows]
    counts = np.bincount(distance[distance <= _LONGEST_SHIFT], minlength=1)
    most = int(counts.argmax())
    share = int(counts[most]) / len(user)
    details = f"{share:.1%} of the interactions repeat another at a distance of {most:,} s"
    return bounded_finding(check, share, bound, details, "is a source read twice, or in two time zones?")


def _compared(rows: pa.Table) -> tuple[NDArray[np.int64], ...]:
    user = rows["user_id"].to_numpy()
    every = -(-len(user) // _MOST_COMPARED)
    if every > 1:
        # Ids may be numbered in steps: their lowest bits alone would not sample evenly.
        chosen = (user.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(33)) % np.uint64(every) == 0
        rows = rows.filter(pa.array(chosen))
        user = rows["user_id"].to_numpy()
    kind = rows["type"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return user, rows["dataset_id"].to_numpy(), kind, utc_seconds(rows["ts"])
