"""Reads the bounds: those of `quality.yaml`, and a user's changes to them."""

from functools import cache
from pathlib import Path
from typing import Any

from pipeline.layered_yaml import load_layered, read_yaml
from pipeline.quality.rules import Rules

DEFAULTS = Path(__file__).with_name("quality.yaml")
_SETTING = "QUALITY_RULES"


def load_rules(path: Path | None = None) -> Rules:
    """Return the default bounds with the changes that a file makes; raises `InputError`."""
    if path is None:
        return Rules.model_validate(_defaults())
    return load_layered(Rules, _defaults(), path, _SETTING)


@cache
def _defaults() -> dict[str, Any]:
    return read_yaml(DEFAULTS, _SETTING).content
