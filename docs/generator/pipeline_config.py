"""airflow/pipeline.yaml: every key of PIPELINE_CONFIG with its meaning and its default."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from pipeline.config import PipelineConfig

_HEAD = """# The shape of a model: recall, training, evaluation. Written by `make docs` from the defaults in the code.
#
# To change some, write only those into a file of your own and set PIPELINE_CONFIG to its path. The others stay as here.
# A list is replaced as a whole. docs/PIPELINE_CONFIG.md has examples, and what was measured.
"""


def render() -> str:
    """Return the file."""
    sections = ("\n".join(_section(name, getattr(PipelineConfig(), name), 0)) for name in PipelineConfig.model_fields)
    return "\n".join((_HEAD, "\n\n".join(sections), ""))


def _section(name: str, section: BaseModel, depth: int) -> Iterator[str]:
    if not depth:
        yield f"# {section.__doc__}"
    yield f"{'  ' * depth}{name}:"
    inner = "  " * (depth + 1)
    for key, field in type(section).model_fields.items():
        value: Any = getattr(section, key)
        if field.description:
            yield f"{inner}# {field.description}."
        if isinstance(value, BaseModel):
            yield from _section(key, value, depth + 1)
        elif isinstance(value, dict):
            yield f"{inner}{key}:"
            yield from (f"{inner}  {each}: {json.dumps(held)}" for each, held in value.items())
        elif isinstance(value, list) and any(isinstance(each, BaseModel) for each in value):
            yield f"{inner}{key}:"
            yield from (f"{inner}  - {_flow(each)}" for each in value)
        elif isinstance(value, list):
            yield f"{inner}{key}: [{', '.join(map(_scalar, value))}]"
        else:
            yield f"{inner}{key}: {_scalar(value)}"


def _flow(entry: BaseModel) -> str:
    return f"{{{', '.join(f'{name}: {_scalar(value)}' for name, value in entry.model_dump().items())}}}"


def _scalar(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)
