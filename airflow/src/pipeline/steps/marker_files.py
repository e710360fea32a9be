"""Done markers: the file `<step>.done.json` in a run's folder.

It is written after the step's outputs and removed before the step begins again.
"""

from pydantic import AwareDatetime, BaseModel, ValidationError

from pipeline.artifacts import join, read_file, remove_file, write_file

Value = str | int | float | None


class Marker(BaseModel):
    """What a finished step was made from, and what it made: checksums of folders, settings, version of the code."""

    step: str
    started_at: AwareDatetime
    seconds: float
    as_of: AwareDatetime
    code: str
    settings: dict[str, Value]
    inputs: dict[str, str]
    outputs: dict[str, str]


def is_done(run: str, step: str) -> bool:
    """Return whether a step has finished."""
    return load_marker(run, step) is not None


def load_marker(run: str, step: str) -> Marker | None:
    """Return the marker of a step, None if it isn't finished."""
    data = read_file(_address(run, step))
    try:
        return None if data is None else Marker.model_validate_json(data)
    except ValidationError:
        return None


def store_marker(run: str, marker: Marker) -> None:
    """Mark a step as done."""
    write_file(_address(run, marker.step), marker.model_dump_json(indent=1).encode())


def remove_marker(run: str, step: str) -> None:
    """Mark a step as not done."""
    remove_file(_address(run, step))


def _address(run: str, step: str) -> str:
    return join(run, f"{step}.done.json")
