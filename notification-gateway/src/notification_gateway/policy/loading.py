"""Reads a policy file; what is wrong with it is said with its line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from notification_gateway.policy.model import Policy

_STAR_ADVICE = 'a bare * is not YAML (it starts an alias): put globs in quotes, as in [airflow, "*", "*"]'
Location = tuple[int | str, ...]


@dataclass(frozen=True)
class PolicyProblem:
    """One thing that is wrong; `line` counts from 1."""

    line: int
    message: str


class PolicyError(ValueError):
    """The file is no valid policy: correct the named lines. The policy in use stays."""

    def __init__(self, source: str, problems: list[PolicyProblem]) -> None:
        super().__init__("; ".join(f"{source}:{problem.line}: {problem.message}" for problem in problems))
        self.problems = problems


def load_policy(path: Path) -> Policy:
    """Read a policy file; raises `PolicyError`, also when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise PolicyError(str(path), [PolicyProblem(1, f"cannot be read: {reason}")]) from error
    return parse_policy(text, str(path))


def parse_policy(text: str, source: str) -> Policy:
    """Read the text of a policy; `source` names it in the `PolicyError`."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise PolicyError(source, [_syntax_problem(error)]) from error
    if root is None:
        raise PolicyError(source, [PolicyProblem(1, "the file is empty; it needs `defaults` and `rules`")])
    lines = dict(_lines(root, ()))
    if repeated := list(_repeated_keys(root)):
        raise PolicyError(source, repeated)
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems = [
            PolicyProblem(_line_of(lines, each["loc"]), _explain(each)) for each in found if not _follows(each, found)
        ]
        raise PolicyError(source, problems) from error


def _syntax_problem(error: yaml.MarkedYAMLError) -> PolicyProblem:
    mark = error.problem_mark or error.context_mark
    message = error.problem or "not YAML"
    if "alias" in f"{error.context} {error.problem}":
        message = _STAR_ADVICE
    return PolicyProblem(mark.line + 1 if mark else 1, message)


def _lines(node: yaml.Node, location: Location) -> Iterator[tuple[Location, int]]:
    yield location, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*location, key.value))
            # A key's own line is better than that of a value that begins below it.
            yield (*location, key.value), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _lines(item, (*location, number))


def _repeated_keys(node: yaml.Node) -> Iterator[PolicyProblem]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield PolicyProblem(key.start_mark.line + 1, f"{key.value!r} stands here twice; YAML would keep one")
            seen.add(key.value)
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item)


def _line_of(lines: dict[Location, int], location: Location) -> int:
    while location not in lines:
        location = location[:-1]
    return lines[location]


def _follows(found: Any, others: Sequence[Any]) -> bool:
    """Say whether a list is called too short only because its items are wrong."""
    location = found["loc"]
    return found["type"] == "too_short" and any(
        len(other["loc"]) > len(location) and other["loc"][: len(location)] == location for other in others
    )


def _explain(found: Any) -> str:
    where = ".".join(str(part) for part in found["loc"])
    message = str(found["msg"]).removeprefix("Value error, ")
    if found["type"] == "string_type":
        message += " (put it in quotes)"
    return f"{where}: {message}" if where else message
