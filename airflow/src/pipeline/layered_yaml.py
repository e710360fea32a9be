"""A user's YAML file of changes to defaults. An error names the setting, the file, the line and the key."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml.composer import ComposerError

from pipeline.errors import InputError

# The parser takes seconds for a million.
_MAX_CHARS = 200_000
_MAX_LEVELS = 20
_Location = tuple[int | str, ...]
_Model = TypeVar("_Model", bound=BaseModel)


class YamlFile(NamedTuple):
    """The content of a file, and the line of each of its keys and list entries."""

    lines: Mapping[_Location, int]
    content: dict[str, Any]


def load_layered(model: type[_Model], defaults: Mapping[str, Any], path: Path, setting: str) -> _Model:
    """Return the defaults with the changes that the file of a setting makes; raises `InputError`."""
    lines, changes = read_yaml(path, setting)
    try:
        return model.model_validate(_merged(defaults, changes))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        problems = (
            f"{path}:{_line_of(lines, each['loc'])}: {_key_of(each['loc'])}: {_message(each, defaults)}"
            for each in sorted(found, key=lambda each: _line_of(lines, each["loc"]))
        )
        raise InputError(f"{setting}: " + "; ".join(problems)) from error


def read_yaml(path: Path, setting: str) -> YamlFile:
    """Read a file whose top level is a mapping; raises `InputError`."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_MAX_CHARS + 1)
    except OSError as error:
        raise InputError(f"{setting}: {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{setting}: {path}: not UTF-8: save the file as UTF-8") from error
    if len(text) > _MAX_CHARS:
        raise InputError(
            f"{setting}: {path}: more than {_MAX_CHARS:,} characters: leave out what is as in the defaults"
        )
    try:
        loader = _PlainLoader(text)
        root = loader.get_single_node()
        content = loader.construct_document(root) if root is not None else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise InputError(f"{setting}: {path}:{line}: {getattr(error, 'problem', None) or 'not YAML'}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{setting}: {path}: this can't be read as YAML: {error}") from error
    if root is None:
        return YamlFile({(): 1}, {})
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{setting}: {path}:{root.start_mark.line + 1}: write sections, such as `datasets:`")
    lines: dict[_Location, int] = {}
    for location, line in _lines(root, ()):
        if location in lines:
            raise InputError(f"{setting}: {path}:{line}: {'.'.join(map(str, location))} stands here twice")
        lines[location] = line
    return YamlFile(lines, content)


class _PlainLoader(yaml.SafeLoader):
    """Without aliases, which make a tree of any size or without an end, and with few levels."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # PyYAML's stubs
        if self.check_event(yaml.AliasEvent):
            raise ComposerError(None, None, "an alias: write the value out", mark)
        if self._level >= _MAX_LEVELS:
            raise ComposerError(None, None, f"more than {_MAX_LEVELS} levels", mark)
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        return node


def _lines(node: yaml.Node, location: _Location) -> Iterator[tuple[_Location, int]]:
    if not location:
        yield (), 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*location, key.value), key.start_mark.line + 1
            yield from _lines(value, (*location, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield (*location, place), value.start_mark.line + 1
            yield from _lines(value, (*location, place))


def _nearest(lines: Mapping[_Location, int], location: _Location) -> _Location:
    """Return the part of a location that the file has: defaults and Pydantic's own marks have no line."""
    while location not in lines:
        location = location[:-1]
    return location


def _line_of(lines: Mapping[_Location, int], location: _Location) -> int:
    return lines[_nearest(lines, location)]


def _key_of(location: _Location) -> str:
    own = location[:-1] if location[-1:] == ("[key]",) else location
    return ".".join(map(str, own)) or "the file"


def _message(error: ErrorDetails, defaults: Mapping[str, Any]) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] != "extra_forbidden":
        return message
    place: Any = defaults
    for name in error["loc"][:-1]:
        # Defaults say nothing about the entries of a user's list.
        place = place[name] if isinstance(place, Mapping) else None
    return f"{message}; there are {', '.join(place)}" if isinstance(place, Mapping) else message


def _merged(base: object, changes: object) -> object:
    if not isinstance(base, Mapping) or not isinstance(changes, dict):
        return changes
    return {**base} | {key: _merged(base[key], value) if key in base else value for key, value in changes.items()}
