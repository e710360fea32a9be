"""The first commands of a point's runbook, for each way of running this stack: `commands.yaml`, read and checked."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

from monitoring.catalogue import Component, Point

COUNT = 3
_Text = Annotated[str, Field(min_length=2)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class What(_Part):
    """What a command shows or does."""

    zh: _Text
    en: _Text


class Command(_Part):
    """One command, as it is typed natively, with containers, and with Kubernetes."""

    what: What
    native: _Text
    compose: _Text
    kubernetes: _Text


Commands = Annotated[tuple[Command, ...], Field(min_length=COUNT, max_length=COUNT)]


class CommandFile(_Part):
    """The commands of each component, and of the points that need others."""

    components: Mapping[Component, Commands]
    points: Mapping[str, Commands] = {}


@cache
def load_commands() -> CommandFile:
    """Read the commands."""
    text = files(__package__).joinpath("commands.yaml").read_text(encoding="utf-8")
    return CommandFile.model_validate(yaml.safe_load(text))


def commands_of(point: Point) -> Commands:
    """Return the first three commands for a point."""
    commands = load_commands()
    return commands.points.get(point.id) or commands.components[point.component]
