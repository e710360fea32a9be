"""What the commands of `featurectl` answer, and ages in words."""

from typing import NamedTuple

from pydantic import BaseModel

from contracts.command_line import OK

UNITS = {"d": 86_400, "h": 3600, "min": 60, "s": 1}


class Answer(NamedTuple):
    """A body for `--json`, the same for people, and the exit code."""

    body: BaseModel
    text: str
    code: int = OK


def age_text(seconds: float | None) -> str:
    """Return an age in the largest unit of which there are two."""
    if seconds is None:
        return "an unknown time"
    unit, size = next(((unit, size) for unit, size in UNITS.items() if seconds >= 2 * size), ("s", 1))
    return f"{seconds / size:.0f} {unit}"
