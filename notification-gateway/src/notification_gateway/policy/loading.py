"""Reads and validates a policy file; each problem has its line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from notification_gateway.policy.action_forms import join_actions
from notification_gateway.policy.channel_names import BUILT_IN_CHANNELS, CONTEXT
from notification_gateway.policy.model import Policy
from notification_gateway.policy.yaml_text import UnreadableYamlError, read_yaml

# The default policy has 2 KiB; a file of this size takes seconds to read.
MAX_BYTES = 256 * 1024
# `/health` shows them all, so their number is limited.
MAX_PROBLEMS = 20
Location = tuple[int | str, ...]


@dataclass(frozen=True)
class PolicyProblem:
    """One problem; `line` counts from 1."""

    line: int
    message: str


class PolicyError(ValueError):
    """The file is not a valid policy: correct the named lines. The current policy stays in use."""

    def __init__(self, source: str, problems: list[PolicyProblem]) -> None:
        super().__init__("; ".join(f"{source}:{problem.line}: {problem.message}" for problem in problems))
        self.source = source
        self.problems = problems


def load_policy(path: Path, channels: Sequence[str] = BUILT_IN_CHANNELS) -> Policy:
    """Read a policy file; raises `PolicyError`, also when it cannot be read."""
    return parse_policy(read_policy(path), str(path), channels)


def read_policy(path: Path) -> bytes:
    """Return the content of a policy file; raises `PolicyError`."""
    try:
        if path.exists() and not path.is_file():
            raise PolicyError(str(path), [PolicyProblem(1, "cannot be read: not a file")])
        with path.open("rb") as file:
            # One byte more than allowed, to detect a larger file.
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError(str(path), [PolicyProblem(1, f"cannot be read: {error.strerror}")]) from error
    return content


def parse_policy(content: str | bytes, source: str, channels: Sequence[str] = BUILT_IN_CHANNELS) -> Policy:
    """Parse the content of a policy file; raises only `PolicyError`, in which `source` names the file.

    `channels` are the names that the policy may use.
    """
    if len(content) > MAX_BYTES:
        raise PolicyError(source, [PolicyProblem(1, f"larger than {MAX_BYTES // 1024} KiB, which no policy is")])
    text = _decode(content, source) if isinstance(content, bytes) else content
    try:
        root, data = read_yaml(text, join_actions)
    except UnreadableYamlError as problem:
        raise PolicyError(source, [PolicyProblem(problem.line, str(problem))]) from problem
    if root is None:
        raise PolicyError(source, [PolicyProblem(1, "the file is empty; it needs `defaults` and `rules`")])
    if not isinstance(root, yaml.MappingNode):
        raise PolicyError(source, [PolicyProblem(root.start_mark.line + 1, "a policy is `defaults:` and `rules:`")])
    lines = dict(_lines(root, ()))
    if repeated := list(_repeated_keys(root)):
        raise PolicyError(source, repeated[:MAX_PROBLEMS])
    try:
        return Policy.model_validate(data, context={CONTEXT: channels})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        problems = (
            PolicyProblem(_line_of(lines, each["loc"]), _explain(each)) for each in found if not _follows(each, found)
        )
        raise PolicyError(source, list(islice(problems, MAX_PROBLEMS))) from error


def _decode(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyError(source, [PolicyProblem(line, "not UTF-8: save the file as UTF-8")]) from error


def _lines(node: yaml.Node, location: Location) -> Iterator[tuple[Location, int]]:
    yield location, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*location, key.value))
            # Use the key's line, not that of its value, which may begin on a later one.
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
    """Say whether an error only follows from another one.

    A list is too short because its items are invalid; a priority is missing because the actions are invalid.
    """
    location = found["loc"]
    if found["type"] == "missing" and location[-1:] == ("priority",):
        location = (*location[:-1], "actions")
        return any(other["loc"][: len(location)] == location for other in others)
    return found["type"] == "too_short" and any(
        len(other["loc"]) > len(location) and other["loc"][: len(location)] == location for other in others
    )


def _explain(found: Any) -> str:
    where = ".".join(str(part) for part in found["loc"])
    message = str(found["msg"]).removeprefix("Value error, ")
    if found["type"] == "string_type":
        message += " (put it in quotes)"
    return f"{where}: {message}" if where else message
