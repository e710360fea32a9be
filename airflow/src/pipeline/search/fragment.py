"""A configuration that a search has found, as a file for PIPELINE_CONFIG."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import PipelineConfig
from pipeline.errors import InputError
from pipeline.search.results import SearchResult
from pipeline.search.text import describe_data, describe_gain, describe_trials


def check_output(path: Path, *, force: bool) -> None:
    """Raise `InputError` if a file can't be written there, or if there is one already and `force` is not given."""
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"--output {path}: {path.parent} is not a folder that can be written to")
    if path.exists() and not path.is_file():
        raise InputError(f"--output {path}: this is a folder or a device; name a file")
    if path.exists() and not force:
        raise InputError(f"--output {path}: there is such a file already; choose another name, or give --force")


def fragment_of(config: PipelineConfig, result: SearchResult) -> str | None:
    """Return all that the better configuration changes of the defaults; None if the current one is to be kept."""
    if result.confirmation is None or not result.is_better:
        return None
    better = config.with_values(result.changes).model_dump(mode="json")
    changes = yaml.safe_dump(_changes(better, PipelineConfig().model_dump(mode="json")), sort_keys=False)
    return (
        f"# Found by `python -m pipeline search`: seed {result.seed}, {describe_trials(result)},\n"
        f"# on {describe_data(result.data)}.\n"
        f"# {describe_gain(result.confirmation)}.\n{changes}"
    )


def write_fragment(path: Path, text: str, *, force: bool) -> None:
    """Write the file at once; raises `InputError` as `check_output` does."""
    check_output(path, force=force)
    # Not longer than any name that the file may have.
    draft = path.with_name(f".{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _changes(value: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _changes(each, default[name]) if isinstance(each, dict) else each
        for name, each in value.items()
        if each != default[name]
    }
