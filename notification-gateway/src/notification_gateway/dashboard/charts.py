"""The data of a chart, which the page's script draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from notification_gateway.dashboard.sources import Sample

Colour = Literal["p0", "p1", "p2", "ok", "soft", "violet"]
# Of lines of equal standing, in this order.
LINE_COLOURS: Sequence[Colour] = ("p2", "ok", "p1", "violet")


@dataclass(frozen=True)
class Series:
    """One line or set of bars; `low` and `high` are the bounds of its values, empty without an interval."""

    label: str
    values: Sequence[float | None]
    colour: Colour
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


@dataclass(frozen=True)
class Chart:
    """`x` are Unix seconds, or indexes of `names`. Bars of several series are stacked. `unit` follows each value."""

    kind: Literal["bars", "lines"]
    x: Sequence[float]
    series: Sequence[Series]
    unit: str = ""
    names: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether all values are zero or missing."""
        return not any(value for each in self.series for value in each.values)


def aligned(samples: Sequence[Sample], label: str) -> tuple[list[float], dict[str, list[float | None]]]:
    """Return all times, and the values at each of them by label."""
    x = sorted({at for each in samples for at, _ in each.points})
    columns: dict[str, list[float | None]] = {}
    for each in samples:
        found = dict(each.points)
        columns[each.labels.get(label, "")] = [found.get(at) for at in x]
    return x, columns
