"""Why a step's outputs are still those that it would make, or what has changed since, by its done marker."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from business.database import without_credentials
from business.statements import TABLES
from pipeline.artifacts import has_files, read_file_list
from pipeline.settings import Settings
from pipeline.steps.code_version import code_version
from pipeline.steps.marker_files import Marker, Value, load_marker, store_marker
from pipeline.steps.run import Step, folder_of
from pipeline.steps.run_info import load_run_info

_HASH_CHARS = 16


def write_marker(
    settings: Settings, run: str, step: Step, *, inputs: dict[str, str], started_at: datetime, seconds: float
) -> None:
    """Mark a step as done; `inputs` are the checksums of its inputs when it began."""
    outputs = {name: _digest(run, name) for name in step.outputs}
    marker = Marker(
        step=step.name,
        started_at=started_at,
        seconds=seconds,
        as_of=load_run_info(run).as_of,
        code=code_version(),
        settings=relevant_settings(settings, step.settings),
        inputs=inputs,
        outputs=outputs,
    )
    store_marker(run, marker)


def input_digests(run: str, step: Step) -> dict[str, str]:
    """Return the checksums of a step's inputs as they are now."""
    return {name: _digest(run, name) for name in step.inputs}


def find_change(settings: Settings, run: str, step: Step) -> str | None:
    """Return why a step has to run (again), None if its outputs are up to date."""
    marker = load_marker(run, step.name)
    if marker is None:
        return "it has not finished"
    if marker.code != code_version():
        return f"the code has changed (was {marker.code}, is {code_version()})"
    if marker.as_of != (as_of := load_run_info(run).as_of):
        return f"as_of has changed (was {marker.as_of:%Y-%m-%dT%H:%M:%SZ}, is {as_of:%Y-%m-%dT%H:%M:%SZ})"
    current = relevant_settings(settings, step.settings)
    for name in step.settings:
        if marker.settings.get(name) != current[name]:
            return _changed_setting(name, marker.settings.get(name), current[name])
    for name, digest in input_digests(run, step).items():
        if marker.inputs.get(name) != digest:
            return f"its input {name} has changed"
    for name in step.outputs:
        listed = read_file_list(folder_of(run, name))
        if listed is None or listed.digest != marker.outputs.get(name) or not has_files(folder_of(run, name), listed):
            return f"its output {name} is missing or has changed"
    return None


def relevant_settings(settings: Settings, names: Sequence[str]) -> dict[str, Value]:
    """Return the values of settings; secrets and the user's files as checksums."""
    return {name: _comparable(getattr(settings, name)) for name in names}


def _comparable(value: object) -> Value:
    if isinstance(value, SecretStr):
        return _hashed(_without_password(value.get_secret_value()).encode())
    if isinstance(value, Path) and value.is_file():
        return _hashed(value.read_bytes())
    if isinstance(value, Path):
        files = (value / f"{table}.sql" for table in TABLES)
        return _hashed(b"\0".join(path.read_bytes() if path.is_file() else b"-" for path in files))
    return value if isinstance(value, str | int | float) else None


def _without_password(text: str) -> str:
    try:
        return without_credentials(make_url(text))
    except ArgumentError:
        return ""


def _hashed(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()[:_HASH_CHARS]}"


def _changed_setting(name: str, before: Value, after: Value) -> str:
    if any(isinstance(value, str) and value.startswith("sha256:") for value in (before, after)):
        return f"{name.upper()} has changed"
    return f"{name.upper()} was {json.dumps(before)}, is {json.dumps(after)}"


def _digest(run: str, output: str) -> str:
    listed = read_file_list(folder_of(run, output))
    return "" if listed is None else listed.digest
