"""What came of the exposures of each version, by the sums of hours that feature-sync keeps."""

from typing import Any

from business import BusinessDatabase
from contracts.outcomes import OutcomeRate, rate_of
from pipeline.extract.log_tables import Period, period_condition, relations_of, select_rows, table_name

_SUMS = ("exposures", "clicks", "favorites", "purchases")
# Of events that belong to no exposure.
_NOWHERE = -1


def read_online(log: BusinessDatabase, period: Period) -> dict[str, dict[str, Any]]:
    """Return the shares with 95 % intervals by "version variant endpoint", none without the table."""
    if "outcome_hours" not in relations_of(log):
        return {}
    sums = ", ".join(f"SUM({name}) AS {name}" for name in _SUMS)
    groups = "model_version, variant, endpoint"
    sql = (
        f"SELECT {groups}, {sums} FROM {table_name(log.dialect, 'outcome_hours')} "  # noqa: S608 - our own words
        f"WHERE {period_condition(log.dialect, period)} AND position <> {_NOWHERE} GROUP BY {groups} ORDER BY {groups}"
    )
    found = {}
    for version, variant, endpoint, *counts in select_rows(log, sql, "outcome_hours"):
        exposures, *taken = map(int, counts)
        shares: dict[str, Any] = {"exposures": exposures}
        for name, count in zip(_SUMS[1:], taken, strict=True):
            shares |= _shown(name, rate_of(count, exposures))
        found[f"{version or '-'} {variant or '-'} {endpoint or '-'}"] = shares
    return found


def _shown(name: str, rate: OutcomeRate) -> dict[str, Any]:
    return {name: rate.rate, f"{name}_low": rate.low, f"{name}_high": rate.high}
