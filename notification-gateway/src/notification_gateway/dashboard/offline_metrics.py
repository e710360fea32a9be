"""The offline metrics of the versions over time, with the intervals that their manifests have."""

from collections.abc import Sequence

from notification_gateway.dashboard.charts import LINE_COLOURS, Chart, Colour, Series
from notification_gateway.dashboard.sources import Version

_LOW, _HIGH = "_low", "_high"


def chart_metrics(versions: Sequence[Version]) -> Chart:
    """Return the first metrics of the newest version in all versions, given oldest first; nDCG if it has one."""
    newest = versions[-1].metrics if versions else {}
    named = [name for name in newest if not name.endswith((_LOW, _HIGH))]
    # Those with an interval are the stack's own; the others compare it with baselines.
    names = sorted((name for name in named if "ndcg" in name.lower()), key=lambda name: name + _LOW not in newest)
    series = [_series(name, versions, colour) for name, colour in zip(names or named, LINE_COLOURS, strict=False)]
    return Chart("lines", range(len(versions)), series, names=[f"v{version.version}" for version in versions])


def _series(name: str, versions: Sequence[Version], colour: Colour) -> Series:
    value, low, high = ([version.metrics.get(name + end) for version in versions] for end in ("", _LOW, _HIGH))
    has_interval = any(each is not None for each in (*low, *high))
    return Series(name, value, colour, *((low, high) if has_interval else ()))
