"""Files of `NAME=value` lines, quoted for a shell and readable by their owner alone."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

OWNER_ONLY = 0o600


def read(path: Path) -> dict[str, str]:
    """Return the variables of a file; an absent one holds none."""
    return parse(path.read_text(encoding="utf-8")) if path.exists() else {}


def parse(text: str) -> dict[str, str]:
    """Return the variables of `NAME=value` lines."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}


def render(variables: Mapping[str, str]) -> str:
    """Return the lines, sorted by name."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def write(path: Path, text: str, mode: int = OWNER_ONLY) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        os.fsync(file.fileno())
    draft.rename(path)
