"""Charts of the live tab, from Prometheus: answers by level and by reason, latency, and a heat map by stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from notification_gateway.dashboard.charts import Chart, Colour, Series, aligned
from notification_gateway.dashboard.sources import Prometheus, Sample

_HOUR, _STEP = timedelta(hours=1), timedelta(minutes=1)
# Cells of the heat map, so that the page stays small.
_HEAT_STEP = timedelta(minutes=2)
_REQUESTS = "recommender_requests_total"
_RESPONSES = "recommender_responses_total"
_QUANTILE = "histogram_quantile({q}, sum by (le{by}) (rate(recommender_{what}_seconds_bucket[5m])))"
_LEVELS: Sequence[tuple[str, str, Colour]] = (
    ("1", "1 redis", "p2"),
    ("2", "2 precomputed", "p1"),
    ("3", "3 popular", "p0"),
)
_QUANTILES: Mapping[str, tuple[float, Colour]] = {"p50": (0.5, "ok"), "p95": (0.95, "p1"), "p99": (0.99, "p0")}
_STAGES = ("read", "recall", "rank")
_REASON_COLOURS: Sequence[Colour] = ("p0", "p1", "p2", "violet", "ok", "soft")


@dataclass(frozen=True)
class HeatCell:
    """The p95 of a stage at a time (ms), and its share of the largest one of the map."""

    at: datetime
    milliseconds: float
    share: float


@dataclass(frozen=True)
class HeatRow:
    """A stage of the main path, oldest cell first; a cell without requests is None."""

    stage: str
    cells: Sequence[HeatCell | None]


def degraded_by_level(prometheus: Prometheus, now: datetime) -> Chart:
    """Return the share of each fallback level in all answers of the last hour, in percent."""
    by_level = prometheus.query_range(f"sum by (level) (rate({_REQUESTS}[5m]))", now - _HOUR, now, _STEP)
    x, columns = aligned(by_level, "level")
    totals = [sum(column[place] or 0.0 for column in columns.values()) for place in range(len(x))]
    series = [
        Series(
            name,
            [
                (value or 0.0) / total * 100 if total else 0.0
                for value, total in zip(columns.get(level, [0.0] * len(x)), totals, strict=True)
            ],
            colour,
        )
        for level, name, colour in _LEVELS
    ]
    return Chart("bars", x, series, unit="%")


def failures_by_reason(prometheus: Prometheus, now: datetime) -> Chart:
    """Return the degraded and failed answers of the last hour by status and reason, a minute each."""
    query = f'sum by (status, reason) (increase({_RESPONSES}{{reason!=""}}[1m])) > 0'
    found = prometheus.query_range(query, now - _HOUR, now, _STEP)
    named = [
        Sample({"why": f"{each.labels.get('status', '?')} {each.labels.get('reason', '')}"}, each.points)
        for each in sorted(found, key=lambda each: -sum(value for _, value in each.points))
    ]
    x, columns = aligned(named[: len(_REASON_COLOURS)], "why")
    series = [
        Series(why, column, colour) for (why, column), colour in zip(columns.items(), _REASON_COLOURS, strict=False)
    ]
    return Chart("bars", x, series)


def count_responses(prometheus: Prometheus, now: datetime) -> list[tuple[str, str, int]]:
    """Return status, reason (empty: a normal answer) and number of the answers of the last hour, most first."""
    query = f"sum by (status, reason) (increase({_RESPONSES}[1h]))"
    found = [
        (each.labels.get("status", "?"), each.labels.get("reason", ""), round(each.points[-1][1]))
        for each in prometheus.query(query, now)
    ]
    return sorted((each for each in found if each[2]), key=lambda each: -each[2])


def latency(prometheus: Prometheus, now: datetime) -> Chart:
    """Return p50, p95 and p99 of all requests over the last hour, in ms."""
    found = [
        Sample({"quantile": name}, each.points)
        for name, (quantile, _) in _QUANTILES.items()
        for each in prometheus.query_range(_QUANTILE.format(q=quantile, by="", what="request"), now - _HOUR, now, _STEP)
    ]
    x, columns = aligned(found, "quantile")
    series = [
        Series(name, [None if value is None else value * 1000 for value in columns[name]], colour)
        for name, (_, colour) in _QUANTILES.items()
        if name in columns
    ]
    return Chart("lines", x, series, unit="ms")


def latency_by_stage(prometheus: Prometheus, now: datetime) -> list[HeatRow]:
    """Return the p95 of each stage of the main path over the last hour."""
    query = _QUANTILE.format(q=0.95, by=", stage", what="stage")
    x, columns = aligned(prometheus.query_range(query, now - _HOUR, now, _HEAT_STEP), "stage")
    largest = max((value or 0.0 for column in columns.values() for value in column), default=0.0)
    return [
        HeatRow(stage, [_cell(at, value, largest) for at, value in zip(x, columns[stage], strict=True)])
        for stage in _STAGES
        if stage in columns
    ]


def _cell(at: float, seconds: float | None, largest: float) -> HeatCell | None:
    if not seconds:
        return None
    return HeatCell(datetime.fromtimestamp(at, UTC), seconds * 1000, seconds / largest)
