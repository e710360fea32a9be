"""Bar charts as geometry; the template draws them as inline SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 120
_GAP = 0.15


@dataclass(frozen=True)
class Bar:
    """A bar in the units of the picture, with its label and value."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: float


@dataclass(frozen=True)
class BarChart:
    """Bars from left to right on one scale that begins at 0."""

    title: str
    bars: Sequence[Bar]
    highest: float

    @property
    def first(self) -> str:
        """The label of the first bar."""
        return self.bars[0].label

    @property
    def last(self) -> str:
        """The label of the last bar."""
        return self.bars[-1].label


def bar_chart(title: str, points: Sequence[tuple[str, float]]) -> BarChart:
    """Return the chart of at least one point; what is no positive number has no height."""
    values = [value if math.isfinite(value) and value > 0 else 0.0 for _, value in points]
    highest = max(values)
    step = WIDTH / len(points)
    bars = []
    for place, ((label, value), drawn) in enumerate(zip(points, values, strict=True)):
        height = HEIGHT * (drawn / highest) if highest else 0.0
        x, y = round((place + _GAP / 2) * step, 2), round(HEIGHT - height, 2)
        bars.append(Bar(x, y, round(step * (1 - _GAP), 2), round(height, 2), label, value))
    return BarChart(title, bars, highest)
