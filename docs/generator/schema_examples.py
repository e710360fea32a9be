"""An example value of a JSON schema: its own, or one that is composed of those of its parts."""

from typing import Any

Schema = dict[str, Any]
_BY_TYPE: dict[str, Any] = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "object": {}, "null": None}
_OWN = ("example", "const", "default")


def example_of(schema: Schema, schemas: dict[str, Schema]) -> Any:
    """Return an example of a schema; `schemas` are those that it may refer to.

    Raises `ValueError` if a required field is missing in an example.
    """
    if "examples" in schema:
        return _complete(schema["examples"][0], schema, schemas)
    for own in _OWN:
        if own in schema:
            return _complete(schema[own], schema, schemas)
    if "$ref" in schema:
        return example_of(_target(schema, schemas), schemas)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _example_of_union(schema["anyOf"], schemas)
    if "properties" in schema:
        return {name: example_of(part, schemas) for name, part in schema["properties"].items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)]
    return _BY_TYPE[schema["type"]]


def _example_of_union(parts: list[Schema], schemas: dict[str, Schema]) -> Any:
    """What may be null and has no example of its own is null most of the time; a part that has a table is shown."""
    first = next(part for part in parts if part.get("type") != "null")
    return None if _is_nullable({"anyOf": parts}) and "$ref" not in first else example_of(first, schemas)


def _complete(example: Any, schema: Schema, schemas: dict[str, Schema]) -> Any:
    """Return an example with its fields in order and the nulls that FastAPI leaves out of its document."""
    if isinstance(example, list):
        return [_complete(each, schema.get("items", {}), schemas) for each in example]
    if not isinstance(example, dict):
        return example
    part = next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)
    target = _target(part, schemas)
    properties, required = target.get("properties", {}), target.get("required", ())
    missing = [name for name in required if name not in example and not _is_nullable(properties[name])]
    if missing:
        raise ValueError(f"the example of {target.get('title')} lacks {', '.join(missing)}")
    return {
        name: _complete(example.get(name), properties.get(name, {}), schemas)
        for name in (*properties, *(name for name in example if name not in properties))
        if name in example or name in required
    }


def _is_nullable(schema: Schema) -> bool:
    return any(part.get("type") == "null" for part in schema.get("anyOf", ()))


def _target(schema: Schema, schemas: dict[str, Schema]) -> Schema:
    return schemas[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
