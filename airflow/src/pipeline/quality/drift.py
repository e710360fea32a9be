"""Compares a run's profile with that of the last good run.

A difference counts if it is both significant and large. Until enough runs have a profile, these checks only watch.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from pipeline.quality.findings import Finding, bounded_finding
from pipeline.quality.profile import Profile, TableProfile
from pipeline.quality.profiling import RECENT_DAYS
from pipeline.quality.rules import Bound, DriftRules
from pipeline.quality.statistics import Difference, compare_counts, compare_percentiles, compare_shares

# Differences of fewer rows say nothing.
_FEW = 100
_FEW_PRICES = 50
# The last days of the earlier run may still have been incomplete.
_UNSETTLED = timedelta(days=2)


def drift_findings(now: Profile, earlier: Sequence[Profile], rules: DriftRules) -> list[Finding]:
    """Return the results of all comparisons with the last of the `earlier` runs, which are in the order of time."""
    if not earlier:
        return [_watching(name, 0, rules) for name in _NAMES]
    before = earlier[-1]
    findings = [
        _lost_rows("datasets", before.datasets, now.datasets, rules.datasets_lost),
        _lost_rows("users", before.users, now.users, rules.users_lost),
        *_history(before, now, rules),
        *(
            _null_share(column, before.datasets, now.datasets, rules)
            for column in ("price", "description", "tags", "provider")
        ),
        _price(before, now, rules),
        _type_share(before, now, rules),
        _hour_of_day(before, now, rules),
        *(_largest(name, before.interactions, now.interactions, rules) for name in ("user", "dataset")),
    ]
    if len(earlier) >= rules.learning_runs:
        return findings
    return [_only_watched(finding, len(earlier), rules) for finding in findings]


_NAMES = tuple(f"drift.{name}" for name in DriftRules.model_fields if name not in ("learning_runs", "p_value"))


def _watching(check: str, runs: int, rules: DriftRules) -> Finding:
    return Finding(check, "ok", f"{runs} of {rules.learning_runs} earlier runs are known: it only watches", 0.0, 0.0)


def _only_watched(finding: Finding, runs: int, rules: DriftRules) -> Finding:
    if finding.severity == "ok":
        return finding
    details = f"{finding.details}; {runs} of {rules.learning_runs} earlier runs are known: it only watches"
    return replace(finding, severity="ok", details=details)


def _judge(name: str, found: Difference, rules: DriftRules, details: str, advice: str = "") -> Finding:
    bound: Bound = getattr(rules, name)
    if found.p_value > rules.p_value:
        bound = Bound(warning=None, critical=None)
    return bounded_finding(f"drift.{name}", max(0.0, found.effect), bound, details, advice)


def _lost_rows(name: str, before: TableProfile, now: TableProfile, bound: Bound) -> Finding:
    details = f"{now.rows:,} {name}, {before.rows:,} in the last good run"
    share = max(0.0, 1 - now.rows / before.rows) if before.rows >= _FEW else 0.0
    return bounded_finding(f"drift.{name}_lost", share, bound, details, "does the SQL still select all of them?")


def _history(before: Profile, now: Profile, rules: DriftRules) -> list[Finding]:
    """Compare the numbers of interactions of the days that both runs have: the past does not change much."""
    settled = before.as_of.date() - _UNSETTLED
    start = min(now.activity.by_day, default=settled)
    old = {day: before.activity.rows_of(day) for day in before.activity.by_day if start <= day < settled}
    new = {day: now.activity.rows_of(day) for day in now.activity.by_day if day < settled}
    total = sum(old.values())
    lost = sum(max(0, count - new.get(day, 0)) for day, count in old.items())
    gained = sum(max(0, count - old.get(day, 0)) for day, count in new.items())
    known = total if total >= _FEW else 0
    return [
        bounded_finding(
            "drift.interactions_lost",
            lost / known if known else 0.0,
            rules.interactions_lost,
            f"{lost:,} of {total:,} earlier interactions are gone",
            "were they deleted, or does the SQL leave them out?",
        ),
        bounded_finding(
            "drift.interactions_gained",
            gained / known if known else 0.0,
            rules.interactions_gained,
            f"{gained:,} interactions were added to days that had {total:,}",
            "was a source read twice?",
        ),
    ]


def _null_share(column: str, before: TableProfile, now: TableProfile, rules: DriftRules) -> Finding:
    old, new = before.null_share(column), now.null_share(column)
    found = Difference(0.0, 1.0)
    if old is not None and new is not None and before.rows >= _FEW:
        found = compare_shares(old, new, (before.rows, now.rows))
    details = f"{new or 0:.1%} of the datasets have no {column}, {old or 0:.1%} in the last good run"
    return _judge(f"null_{column}", found, rules, details, f"look at the column {column}")


def _price(before: Profile, now: Profile, rules: DriftRules) -> Finding:
    old, new = (each.datasets.columns.get("price") for each in (before, now))
    if old is None or new is None or not old.percentiles or not new.percentiles:
        return Finding("drift.price", "ok", "there are no prices to compare", 0.0, rules.price.warning or 0.0)
    rows = (before.datasets.rows - old.nulls, now.datasets.rows - new.nulls)
    found = Difference(0.0, 1.0)
    if min(rows) >= _FEW_PRICES:
        found = compare_percentiles(old.percentiles, new.percentiles, rows)
    median = len(new.percentiles) // 2
    details = (
        f"prices: PSI {found.effect:.2f} against the last good run; median {new.percentiles[median]:,.2f}, "
        f"{old.percentiles[median]:,.2f} before"
    )
    return _judge("price", found, rules, details, "has the unit or the currency changed?")


def _type_share(before: Profile, now: Profile, rules: DriftRules) -> Finding:
    old, new = _recent_types(before), _recent_types(now)
    names = sorted({*old, *new})
    found = Difference(0.0, 1.0)
    if min(sum(old.values()), sum(new.values())) >= _FEW:
        found = compare_counts([old.get(name, 0) for name in names], [new.get(name, 0) for name in names])
    details = f"types of the last {RECENT_DAYS} days: {_percentages(new)}; in the last good run: {_percentages(old)}"
    return _judge("type_share", found, rules, details, "is a kind of interaction no longer recorded?")


def _recent_types(profile: Profile) -> dict[str, int]:
    days = profile.activity.by_day
    found: dict[str, int] = {}
    if days:
        last = max(days)
        for number in range(1, RECENT_DAYS + 1):
            for name, count in days.get(last - timedelta(days=number), {}).items():
                found[name] = found.get(name, 0) + count
    return found


def _percentages(counts: dict[str, int]) -> str:
    total = max(1, sum(counts.values()))
    return ", ".join(f"{name} {count / total:.0%}" for name, count in sorted(counts.items())) or "none"


def _hour_of_day(before: Profile, now: Profile, rules: DriftRules) -> Finding:
    old, new = before.activity.recent_by_hour, now.activity.recent_by_hour
    found = Difference(0.0, 1.0)
    # With few rows an hour is empty by chance, and PSI is large.
    if min(sum(old), sum(new)) >= _FEW * len(old) / 4:
        found = compare_counts(old, new)
    details = f"hours of day in the last {RECENT_DAYS} days: PSI {found.effect:.2f} against the last good run"
    return _judge("hour_of_day", found, rules, details, "has the time zone of `ts` changed?")


def _largest(name: str, before: TableProfile, now: TableProfile, rules: DriftRules) -> Finding:
    old, new = (each.columns.get(f"{name}_id") for each in (before, now))
    found = Difference(0.0, 1.0)
    shares = [0.0 if each is None else each.largest_share for each in (old, new)]
    if min(before.rows, now.rows) >= _FEW and old is not None and new is not None:
        found = compare_shares(shares[0], shares[1], (before.rows, now.rows))
    details = f"the largest {name} has {shares[1]:.1%} of the interactions, {shares[0]:.1%} in the last good run"
    return _judge(f"largest_{name}", found, rules, details, "is it a robot or a test account?")
