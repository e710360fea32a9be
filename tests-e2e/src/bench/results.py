"""Measured values with their goals, as a table and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Goal:
    """The limits of a value."""

    most: float | None = None
    least: float | None = None

    def met_by(self, value: float) -> bool:
        """Return whether a value is within the limits."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    def __str__(self) -> str:
        bounds = [f"{sign} {bound:g}" for sign, bound in (("≤", self.most), ("≥", self.least)) if bound is not None]
        return " ".join(bounds)


@dataclass(frozen=True)
class Result:
    """One line; `goal` is None for a value that only explains the others."""

    name: str
    value: float
    unit: str
    goal: Goal | None = None

    @property
    def ok(self) -> bool:
        """Whether the goal is met; a value without a goal is always ok."""
        return self.goal is None or self.goal.met_by(self.value)


def table(results: Sequence[Result]) -> str:
    """Return aligned lines: name, value, unit, goal and its mark."""
    lines = []
    for each in results:
        verdict = "" if each.goal is None else f"{each.goal!s:>10}  {'✓' if each.ok else '✗'}"
        lines.append(f"{each.name:<58}{each.value:>10.4g} {each.unit:<10}{verdict}".rstrip())
    return "\n".join(lines)


def write(results: Sequence[Result], path: Path) -> None:
    """Write `[{name, value, unit, goal, ok}]`."""
    lines = [asdict(each) | {"goal": None if each.goal is None else str(each.goal), "ok": each.ok} for each in results]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(lines, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
