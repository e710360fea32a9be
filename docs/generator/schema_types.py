"""The type of a JSON schema in words, with its bounds."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
_NUMBERS = (("minimum", "≥"), ("maximum", "≤"), ("exclusiveMinimum", ">"), ("exclusiveMaximum", "<"))
_SIZES = (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "items"))


def describe_type(schema: Schema) -> str:
    """Return a type as a table's cell says it; a named schema is a link to its own table."""
    bounds = ", ".join(_bounds(schema))
    return f"{_kind(schema)} ({bounds})" if bounds else _kind(schema)


def _kind(schema: Schema) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(describe_type(part) for part in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {describe_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {describe_type(schema['additionalProperties'])}"
    return {"date-time": "ISO 8601 time", "binary": "bytes"}.get(schema.get("format", ""), kind)


def _bounds(schema: Schema) -> Iterator[str]:
    for key, sign in _NUMBERS:
        if key in schema:
            yield f"{sign} {_number(schema[key])}"
    for least, most, unit in _SIZES:
        if least in schema and most in schema:
            yield f"{schema[least]} to {schema[most]} {unit}"
        elif most in schema:
            yield f"at most {schema[most]} {unit}"
        elif least in schema:
            yield f"at least {schema[least]} {unit}"
    if "pattern" in schema:
        yield f"`{schema['pattern']}`"


def _number(value: float) -> str:
    # Python writes the largest id as a float into the document.
    if value == float(2**63 - 1):
        return str(2**63 - 1)
    return str(int(value)) if value == int(value) else str(value)
