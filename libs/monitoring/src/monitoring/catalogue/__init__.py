"""The catalogue of monitoring points: the files beside this one, read and checked.

`core_points.yaml` holds the 24 that the product promises, `added_points.yaml` those that were added later, and
`self_monitoring_points.yaml` those that monitoring reports about itself. `points.zh.yaml` holds the Chinese names of
all points, `runbooks.zh.yaml` their runbooks in Chinese.
"""

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib.resources import files
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

Level = Literal["error", "warning", "info"]
Component = Literal["redis", "model", "fallback", "pipeline", "weixin", "api", "airflow", "gateway", "monitoring"]

EXCEPTION_PART = "exception"
# How an incident ends: its service reports that it works again; no signal for 15 minutes; its source reports the end.
Ending = Literal["by_recovery", "by_quiet", "by_source"]
# An alert of Alertmanager that a point explains is named by this and its alertname.
ALERT_PREFIX = "alertmanager/"


class Runbook(BaseModel):
    """What a person who gets the alert needs: what it means, where to look, what to do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    means: Annotated[str, Field(min_length=20)]
    look_at: Annotated[str, Field(min_length=20)]
    do: Annotated[str, Field(min_length=20)]


class LevelBy(BaseModel):
    """A field whose value changes the level of one report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    values: Mapping[str, Level]


class Point(BaseModel):
    """One monitoring point, as a file of points describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z]+\.[a-z_]+$")]
    component: Component
    level: Level
    level_by: LevelBy | None = None
    fingerprint: Annotated[tuple[str, ...], Field(min_length=2)]
    category: Annotated[str, Field(min_length=1, max_length=64)]
    ends: Ending
    # Tags that name a run, a deployment or another episode: an open incident is notified again for a new one.
    episode: tuple[str, ...] = ()
    # Points that are symptoms of this one, and alerts of Alertmanager (`alertmanager/<alertname>`).
    explains: tuple[str, ...] = ()
    # Open parts of the fingerprint: the oldest incident of this point explains later ones with the same values.
    same_fault: tuple[str, ...] = ()
    when: str
    tags: tuple[str, ...]
    breadcrumbs: tuple[str, ...] = ()
    runbook: Runbook

    @model_validator(mode="after")
    def _id_names_its_component(self) -> Self:
        if self.id.partition(".")[0] != self.component:
            raise ValueError(f"point {self.id} belongs to component {self.component}, so its id must begin with it")
        return self

    @model_validator(mode="after")
    def _same_fault_names_open_parts(self) -> Self:
        if unknown := set(self.same_fault) - set(self.open_parts):
            raise ValueError(f"point {self.id}: same_fault: {sorted(unknown)} are not open parts of its fingerprint")
        return self

    @cached_property
    def open_parts(self) -> tuple[str, ...]:
        """The names of the fingerprint's parts that are filled when a report is made, in order."""
        return tuple(name for part in self.fingerprint if (name := open_part(part)) is not None)


def open_part(part: str) -> str | None:
    """Return the name inside `<name>`, or None for a fixed part."""
    return part[1:-1] if part.startswith("<") and part.endswith(">") else None


class ChineseText(BaseModel):
    """A point's name in Chinese, and what to do first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=2)]
    first: Annotated[str, Field(min_length=8)]


class ChineseRunbook(BaseModel):
    """A point's runbook in Chinese, which needs fewer characters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    means: Annotated[str, Field(min_length=8)]
    look_at: Annotated[str, Field(min_length=8)]
    do: Annotated[str, Field(min_length=8)]


class Catalogue(BaseModel):
    """All points, in the order of the file; ids are unique."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    points: Annotated[tuple[Point, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        seen: set[str] = set()
        for point in self.points:
            if point.id in seen:
                raise ValueError(f"point {point.id} is defined twice")
            seen.add(point.id)
        return self

    def __iter__(self) -> Iterator[Point]:  # type: ignore[override]  # a catalogue is read point by point
        return iter(self.points)

    def by_id(self) -> dict[str, Point]:
        """Return the points by their id."""
        return {point.id: point for point in self.points}


@cache
def load_core() -> Catalogue:
    """Read the points that the product promises."""
    return _read("core_points.yaml")


@cache
def load_added() -> Catalogue:
    """Read the points that were added to the promised ones."""
    return _read("added_points.yaml")


@cache
def load_self_monitoring() -> Catalogue:
    """Read the points that monitoring reports about itself."""
    return _read("self_monitoring_points.yaml")


@cache
def load_reported() -> Catalogue:
    """Return the points that services report: the promised and the added ones."""
    return Catalogue(points=(*load_core(), *load_added()))


@cache
def load_all() -> Catalogue:
    """Return all points."""
    return Catalogue(points=(*load_reported(), *load_self_monitoring()))


@cache
def load_chinese_runbooks() -> Mapping[str, ChineseRunbook]:
    """Return the runbooks in Chinese by point."""
    return {point_id: ChineseRunbook.model_validate(text) for point_id, text in _load("runbooks.zh.yaml").items()}


@cache
def load_chinese() -> Mapping[str, ChineseText]:
    """Return the Chinese texts by point."""
    return {point_id: ChineseText.model_validate(text) for point_id, text in _load("points.zh.yaml").items()}


def _read(name: str) -> Catalogue:
    return Catalogue.model_validate(_load(name))


def _load(name: str) -> Any:
    return yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8"))
