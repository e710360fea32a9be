"""Files of `NAME=value` lines, quoted for a shell and readable only by their owner."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

OWNER_ONLY = 0o600


class UnreadableFileError(ValueError):
    """A file of settings can't be read: correct the line in the message, which contains no value."""


def read(path: Path) -> dict[str, str]:
    """Return the variables of a file, none if it is missing; raises `UnreadableFileError`."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    try:
        return parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableFileError(f"{path}:{line}: not UTF-8") from error
    except UnreadableFileError as error:
        raise UnreadableFileError(f"{path}:{error}") from error


def parse(text: str) -> dict[str, str]:
    """Return the variables of `NAME=value` lines; raises `UnreadableFileError`."""
    variables = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, separator, value = line.partition("=")
        if not separator:
            continue
        try:
            variables[name] = "".join(shlex.split(value))
        except ValueError as error:
            raise UnreadableFileError(f"{number}: {name}: a quote or a backslash has no end") from error
    return variables


def render(variables: Mapping[str, str]) -> str:
    """Return the lines, sorted by name."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def write(path: Path, text: str, mode: int = OWNER_ONLY) -> None:
    """Write a file completely or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        os.fsync(file.fileno())
    draft.rename(path)
