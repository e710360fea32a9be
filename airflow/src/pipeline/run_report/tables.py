"""Nested results as tables and bar charts. The form of the values decides, so that a new result needs no code here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SEPARATOR = " · "
MAX_LIST_IN_CELL = 8
MIN_BARS = 2
PERCENTILES = 101
_QUANTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_COUNTED = re.compile(r"\d{1,4}")


@dataclass(frozen=True)
class Grid:
    """A table: the first cell of each row is its name."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class BarSeries:
    """Numbers by day, hour or another number, in their order."""

    title: str
    points: Sequence[tuple[str, float]]


def blocks(value: Any, title: str = "") -> Iterator[Grid | BarSeries]:
    """Yield the tables and charts that show a JSON value, the outer ones first."""
    if isinstance(value, Mapping):
        yield from _of_mapping(value, title)
    elif isinstance(value, list):
        yield from _of_list(value, title)
    else:
        yield Grid(title, (), [(title, value)])


def _of_mapping(value: Mapping[str, Any], title: str) -> Iterator[Grid | BarSeries]:
    if _is_counts(value):
        yield BarSeries(title, sorted(((name, _total(held)) for name, held in value.items()), key=_order))
        return
    value = _with_quantiles(value)
    cells = {name: held for name, held in value.items() if _is_cell(held)}
    if cells:
        yield Grid(title, (), list(cells.items()))
    rest = {name: held for name, held in value.items() if name not in cells}
    flat = {name: _with_quantiles(held) for name, held in rest.items() if _is_flat(held)}
    if len(flat) > 1 or (flat and not cells):
        yield _grid(title, flat)
    else:
        flat = {}
    for name, held in rest.items():
        if name not in flat:
            yield from blocks(held, f"{title}{SEPARATOR}{name}" if title else name)


def _of_list(value: list[Any], title: str) -> Iterator[Grid | BarSeries]:
    if len(value) > MAX_LIST_IN_CELL and all(map(_is_number, value)):
        yield BarSeries(title, [(str(place), float(each)) for place, each in enumerate(value)])
        return
    if value and all(isinstance(each, Mapping) and _is_flat(each) for each in value):
        yield _grid(title, {str(place): _with_quantiles(each) for place, each in enumerate(value, start=1)})
        return
    for place, each in enumerate(value, start=1):
        yield from blocks(each, f"{title}{SEPARATOR}{place}" if title else str(place))


def _grid(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Grid:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    return Grid(title, columns, [(name, *(row.get(column) for column in columns)) for name, row in rows.items()])


def _is_counts(value: Mapping[str, Any]) -> bool:
    if len(value) < MIN_BARS or not all(_is_number(held) or _is_counted(held) for held in value.values()):
        return False
    return any(all(form.fullmatch(name) for name in value) for form in (_DAY, _COUNTED))


def _is_flat(value: Any) -> bool:
    if not isinstance(value, Mapping) or _is_counts(value):
        return False
    return all(_is_cell(each) for each in _with_quantiles(value).values())


def _is_counted(value: Any) -> bool:
    """Return whether a value is numbers by kind, as the rows of a day by their type."""
    return isinstance(value, Mapping) and all(map(_is_number, value.values()))


def _total(value: Any) -> float:
    return float(sum(value.values()) if isinstance(value, Mapping) else value)


def _with_quantiles(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with some quantiles in place of a list of the percentiles from 0 to 100."""
    found: dict[str, Any] = {}
    for name, held in value.items():
        if isinstance(held, list) and len(held) == PERCENTILES and all(map(_is_number, held)):
            found |= {f"p{place}": held[place] for place in _QUANTILES}
        else:
            found[name] = held
    return found


def _is_cell(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= MAX_LIST_IN_CELL and not any(isinstance(each, (list, Mapping)) for each in value)
    return not isinstance(value, Mapping)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _order(point: tuple[str, float]) -> tuple[int, str]:
    # As numbers: hour 10 comes after hour 9.
    name = point[0]
    return (int(name) if name.isdigit() else 0, name)
