"""Reads the bounds: those of `quality.yaml`, and a user's changes to them. An error names the line and the key."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.errors import InputError
from pipeline.quality.rules import Rules

DEFAULTS = Path(__file__).with_name("quality.yaml")
_Location = tuple[int | str, ...]


def load_rules(path: Path | None = None) -> Rules:
    """Return the default bounds with the changes that a file makes; raises `InputError`."""
    defaults = _defaults()
    if path is None:
        return Rules.model_validate(defaults)
    lines, changes = _read(path)
    try:
        return Rules.model_validate(_merged(defaults, changes))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        problems = (
            f"{path}:{_line_of(lines, each['loc'])}: {'.'.join(map(str, each['loc']))}: "
            f"{str(each['msg']).removeprefix('Value error, ')}"
            for each in sorted(found, key=lambda each: _line_of(lines, each["loc"]))
        )
        raise InputError("QUALITY_RULES: " + "; ".join(problems)) from error


@cache
def _defaults() -> dict[str, Any]:
    _, content = _read(DEFAULTS)
    return content


def _read(path: Path) -> tuple[dict[_Location, int], dict[str, Any]]:
    """Return the line of each key, and the content."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"QUALITY_RULES: {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"QUALITY_RULES: {path}: not UTF-8: save the file as UTF-8") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise InputError(f"QUALITY_RULES: {path}:{line}: {getattr(error, 'problem', None) or 'not YAML'}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"QUALITY_RULES: {path}: this can't be read as YAML: {error}") from error
    if root is None:
        return {(): 1}, {}
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"QUALITY_RULES: {path}:{root.start_mark.line + 1}: write sections, such as `datasets:`")
    lines: dict[_Location, int] = {}
    for location, line in _lines(root, ()):
        if location in lines:
            raise InputError(f"QUALITY_RULES: {path}:{line}: {'.'.join(map(str, location))} stands here twice")
        lines[location] = line
    return lines, content


def _lines(node: yaml.Node, location: _Location) -> Iterator[tuple[_Location, int]]:
    if not location:
        yield (), 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*location, key.value), key.start_mark.line + 1
            yield from _lines(value, (*location, key.value))


def _line_of(lines: Mapping[_Location, int], location: _Location) -> int:
    while location not in lines:
        location = location[:-1]
    return lines[location]


def _merged(base: object, changes: object) -> object:
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return base | {key: _merged(base[key], value) if key in base else value for key, value in changes.items()}
