"""docs/COVERAGE.md: what can fail on each critical path, what reports and covers it, and which test proves that."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitoring import catalogue
from monitoring.catalogue import Point

_ROOT = Path(__file__).parents[2]
_DATA = Path(__file__).with_name("critical_paths.yaml")
_HEAD = """# Coverage

What can fail, which [monitoring point](MONITORING_POINTS.md) reports it, what covers it until it is repaired, and which
test proves that. `make docs` generates this page from the catalogue and `docs/generator/critical_paths.yaml`. It fails
if a point is missing here or a test does not exist.

```console
$ make verify                                  # fires each point by a real fault
$ make verify ONLY=redis.connection_failed     # one point
```

A point marked ✓ is fired by `make verify` and found in the collector with its fingerprint, level and tags:
{verified} of the {all} points. The other one, `monitoring.dropped`, is what a process reports about its own full spool.
A test fires it.
"""


_TABLE = """| step | what fails | reported by | covered by | tests |
|---|---|---|---|---|"""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Model):
    """One way to fail on a path."""

    step: str
    fails: str = ""
    point: str = ""
    alert: str = ""
    covered_by: str
    tests: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _tests_exist(self) -> "Row":
        if missing := [test for test in self.tests if not (_ROOT / test).is_file()]:
            raise ValueError(f"there is no {', '.join(missing)}")
        return self


class CriticalPath(_Model):
    """What has to work for one purpose, step by step."""

    title: str
    about: str
    rows: list[Row]


class Coverage(_Model):
    """The file critical_paths.yaml."""

    paths: list[CriticalPath]
    uncovered: list[str]


def render() -> str:
    """Return the page; raises `ValueError` if a point of the catalogue is missing in it."""
    coverage = Coverage.model_validate(yaml.safe_load(_DATA.read_text(encoding="utf-8")))
    points = catalogue.load_all().by_id()
    shown = {row.point for path in coverage.paths for row in path.rows if row.point}
    if missing := set(points) - shown:
        raise ValueError(f"critical_paths.yaml lacks {', '.join(sorted(missing))}")
    verified = {point.id for point in catalogue.load_reported()}
    head = _HEAD.format(verified=len(verified), all=len(points))
    lines = [head, *_by_component(coverage, points)]
    for path in coverage.paths:
        lines += [
            "",
            f"## {path.title}",
            "",
            path.about.strip(),
            "",
            _TABLE,
        ]
        lines += [_row(row, points, verified) for row in path.rows]
    lines += ["", "## What is not covered", "", *(f"- {each}" for each in coverage.uncovered)]
    return "\n".join(lines) + "\n"


def _by_component(coverage: Coverage, points: dict[str, Point]) -> Iterator[str]:
    yield "| component | points | on the critical path |"
    yield "|---|---|---|"
    for component in dict.fromkeys(point.component for point in points.values()):
        own = [point.id for point in points.values() if point.component == component]
        paths = [path for path in coverage.paths if any(row.point in own for row in path.rows)]
        links = " · ".join(f"[{path.title}](#{_anchor(path.title)})" for path in paths)
        yield f"| {component} | {' · '.join(_link(point) for point in own)} | {links} |"


def _row(row: Row, points: dict[str, Point], verified: set[str]) -> str:
    point = points[row.point] if row.point else None
    fails = row.fails or (point.when if point else "")
    reported = f"{_link(row.point)}, {point.level}{' ✓' if row.point in verified else ''}" if point else ""
    if row.alert:
        reported += f"{', ' if reported else ''}Prometheus alert `{row.alert}`"
    tests = " · ".join(f"[{Path(test).stem}](../{test})" for test in row.tests)
    return f"| {row.step} | {fails} | {reported} | {row.covered_by} | {tests} |"


def _link(point: str) -> str:
    return f"[`{point}`](MONITORING_POINTS.md#{_anchor(point)})"


def _anchor(title: str) -> str:
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")
