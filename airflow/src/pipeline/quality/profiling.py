"""Computes the profile of the clean tables by aggregates; nothing is as large as a table but one column at a time."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.quality.profile import Activity, ColumnProfile, Profile, TableProfile
from pipeline.relational import Engine

DAY_SECONDS = 86_400
RECENT_DAYS = 7
_EPOCH = date(1970, 1, 1)
_TEXTS = ("title", "description", "tags", "provider")
# Offsets of time zones are whole quarters of an hour.
_QUARTER_SECONDS = 900
_COUNTS = f"""
SELECT CAST(floor(unix_seconds(ts) / {_QUARTER_SECONDS}) AS BIGINT) AS place, type, count(*) AS number
FROM interactions
GROUP BY place, type
ORDER BY place, type
"""  # noqa: S608 - our own number
_PERCENTILES = np.linspace(0, 100, 101)


class Tables(NamedTuple):
    """The three clean tables."""

    datasets: pa.Table
    users: pa.Table
    interactions: pa.Table


def profile_tables(tables: Tables, now: datetime, time_zone: str, sources: dict[str, int], engine: Engine) -> Profile:
    """Return the profile of the tables at the time `now`."""
    columns = {name: _column(tables.datasets[name]) for name in (*_TEXTS, "price", "created_at")}
    rows = tables.interactions
    return Profile(
        as_of=now,
        datasets=TableProfile(rows=len(tables.datasets), columns=columns),
        users=TableProfile(
            rows=len(tables.users), columns={name: _column(tables.users[name]) for name in ("province", "created_at")}
        ),
        interactions=TableProfile(
            rows=len(rows),
            columns={name: _column(rows[name]) for name in ("user_id", "dataset_id", "type", "price")}
            | {"ts": _times(rows["ts"])},
        ),
        activity=_activity(rows, now, time_zone, engine),
        sources=sources,
    )


def _column(values: pa.ChunkedArray) -> ColumnProfile:
    nulls = values.null_count
    counts = pc.value_counts(values.drop_null())
    known = len(values) - nulls
    largest = int(pc.max(counts.field("counts")).as_py() or 0)
    is_text = pa.types.is_string(values.type)
    return ColumnProfile(
        nulls=nulls,
        distinct=len(counts),
        largest_share=round(largest / known, 6) if known else 0.0,
        percentiles=_percentiles(values) if pa.types.is_floating(values.type) else [],
        mean_chars=round(pc.mean(pc.utf8_length(values)).as_py(), 3) if is_text and known else None,
    )


def _times(ts: pa.ChunkedArray) -> ColumnProfile:
    # Nearly all times differ: sorting them needs less memory than a table of their counts.
    _, counts = np.unique(ts.cast(pa.int64()).to_numpy(), return_counts=True)
    share = round(int(counts.max()) / len(ts), 6) if len(ts) else 0.0
    return ColumnProfile(nulls=0, distinct=len(counts), largest_share=share)


def _percentiles(values: pa.ChunkedArray) -> list[float]:
    numbers = values.drop_null().to_numpy()
    if not len(numbers):
        return []
    # Values that occur, so that a distribution of few prices stays one of few prices.
    found: list[float] = np.percentile(numbers, _PERCENTILES, method="nearest").tolist()
    return found


def _activity(rows: pa.Table, now: datetime, time_zone: str, engine: Engine) -> Activity:
    if not len(rows):
        return Activity()
    ends = pc.min_max(rows["ts"]).as_py()
    first, newest = ends["min"], ends["max"]
    found = pa.Table.from_batches(engine.query(_COUNTS, {"interactions": rows.select(["ts", "type"])}))
    starts = pc.multiply(found["place"], _QUARTER_SECONDS).cast(pa.timestamp("s", tz="UTC"))
    local, number = local_seconds(starts, time_zone), found["number"].to_numpy()
    names, kind = np.unique(found["type"].to_numpy(), return_inverse=True)
    day = local // DAY_SECONDS
    hour = local % DAY_SECONDS // 3600
    last = int(day.max())
    recent = (day < last) & (day >= last - RECENT_DAYS)
    return Activity(
        first=first,
        newest=newest,
        freshness_seconds=(now - newest).total_seconds(),
        by_type=dict(zip(names.tolist(), _sums(kind, number, len(names)), strict=True)),
        by_day=_by_day(day, kind, number, names.tolist()),
        by_hour=_sums(hour, number, 24),
        recent_by_hour=_sums(hour[recent], number[recent], 24),
    )


def _sums(cell: NDArray[np.int64], number: NDArray[np.int64], cells: int) -> list[int]:
    """Return the sum of the numbers in each cell; below 2**53 floating point is exact."""
    sums: list[int] = np.bincount(cell, number, cells).astype(np.int64).tolist()
    return sums


def local_seconds(ts: pa.ChunkedArray, time_zone: str) -> NDArray[np.int64]:
    """Return the seconds since 1970 that a wall clock of the time zone shows, int64 [m]."""
    moments = ts.cast(pa.timestamp("s", tz="UTC"), safe=False)
    if time_zone != "UTC":
        moments = pc.local_timestamp(moments.cast(pa.timestamp("s", tz=time_zone)))
    seconds: NDArray[np.int64] = moments.cast(pa.int64()).to_numpy()
    return seconds


def day_of(seconds: int) -> date:
    """Return the date of wall-clock seconds since 1970."""
    return _EPOCH + timedelta(days=seconds // DAY_SECONDS)


def _by_day(
    day: NDArray[np.int64], kind: NDArray[np.int64], number: NDArray[np.int64], names: list[str]
) -> dict[date, dict[str, int]]:
    first = int(day.min())
    found: dict[date, dict[str, int]] = {}
    for place, count in enumerate(_sums((day - first) * len(names) + kind, number, 0)):
        if count:
            later, type_ = divmod(place, len(names))
            found.setdefault(_EPOCH + timedelta(days=first + later), {})[names[type_]] = count
    return found


def utc_seconds(ts: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return Unix seconds, int64 [m]."""
    return local_seconds(ts, "UTC")
