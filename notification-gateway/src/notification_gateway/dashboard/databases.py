"""The connections of each service to its databases, by the metrics of all replicas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from notification_gateway.dashboard.charts import Chart, Colour, Series, aligned
from notification_gateway.dashboard.sources import Prometheus, Sample

_HOUR, _STEP = timedelta(hours=1), timedelta(minutes=1)
_BY = "service, database"
_UP = f"min by ({_BY}) (database_up)"
_LIMIT = f"sum by ({_BY}) (database_pool_limit)"
_HELD = f"sum by ({_BY}, state) (database_pool_connections)"
# A comparison leaves out NaN, which a histogram without observations gives.
_P95 = f"1000 * (histogram_quantile(0.95, sum by ({_BY}, le) (rate({{metric}}_bucket[{{window}}]))) >= 0)"
# Connections are opened seldom.
_WAIT, _CONNECT = (
    _P95.format(metric=metric, window=window)
    for metric, window in (("database_connection_wait_seconds", "5m"), ("database_connect_seconds", "1h"))
)
_COLOURS: Sequence[Colour] = ("p2", "p1", "violet", "ok", "p0", "soft")

_Place = tuple[str, str]


@dataclass(frozen=True)
class Connections:
    """A service's connections to one database: whether the last try reached it, and p95 in ms; None without data."""

    service: str
    database: str
    is_up: bool | None
    in_use: int
    idle: int
    limit: int
    wait_ms: float | None
    connect_ms: float | None


def connections(prometheus: Prometheus, now: datetime) -> list[Connections]:
    """Return the connections of every service and database; raises `SourceError`."""

    def values(query: str) -> Mapping[_Place, float]:
        return {_place(each): each.points[-1][1] for each in prometheus.query(query, now)}

    limits = values(_LIMIT)
    if not limits:
        return []
    up, waits, connects = values(_UP), values(_WAIT), values(_CONNECT)
    held = {(*_place(each), each.labels.get("state", "")): each.points[-1][1] for each in prometheus.query(_HELD, now)}
    return [
        Connections(
            *place,
            is_up=bool(up[place]) if place in up else None,
            in_use=round(held.get((*place, "in_use"), 0.0)),
            idle=round(held.get((*place, "idle"), 0.0)),
            limit=round(limits[place]),
            wait_ms=waits.get(place),
            connect_ms=connects.get(place),
        )
        for place in sorted(limits)
    ]


def waits_over_time(prometheus: Prometheus, now: datetime) -> Chart:
    """Return the p95 of the wait for a connection over the last hour, in ms, where it was longest."""
    named = [
        Sample({"name": " ".join(_place(each))}, each.points)
        for each in sorted(prometheus.query_range(_WAIT, now - _HOUR, now, _STEP), key=_longest, reverse=True)
    ]
    x, columns = aligned(named[: len(_COLOURS)], "name")
    series = [Series(name, column, colour) for (name, column), colour in zip(columns.items(), _COLOURS, strict=False)]
    return Chart("lines", x, series, unit="ms")


def _longest(sample: Sample) -> float:
    return max((value for _, value in sample.points), default=0.0)


def _place(sample: Sample) -> _Place:
    return sample.labels.get("service", "?"), sample.labels.get("database", "?")
