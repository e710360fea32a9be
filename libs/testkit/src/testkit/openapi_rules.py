"""What an OpenAPI document must say, and what it must not: fields without a meaning, errors that cannot occur."""

from collections.abc import Iterator
from typing import Any

# The header or parameter that an error depends on, where it needs one.
_NEEDED_PARAMETER = {"304": "if-none-match"}
# A route about the only one of its kind: the path names nothing that could be missing.
_SINGLETONS = {"/models/shadow"}


def violations(document: dict[str, Any]) -> list[str]:
    """Return what is wrong with a document, a line each."""
    found: list[str] = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            label = f"{method.upper()} {path}"
            found += [f"{label}: announces {status}" for status in _impossible(path, operation)]
            found += [
                f"{label}: parameter {parameter['name']} has no description"
                for parameter in operation.get("parameters", ())
                if not parameter.get("description")
            ]
    return found + list(_undescribed(document))


def _impossible(path: str, operation: dict[str, Any]) -> Iterator[str]:
    parameters = [parameter["name"].lower() for parameter in operation.get("parameters", ())]
    takes_body, is_guarded = "requestBody" in operation, "security" in operation
    answers_json = any("application/json" in each.get("content", {}) for each in operation["responses"].values())
    may_be_invalid = bool(parameters) or takes_body
    possible = {
        "400": may_be_invalid,
        "401": is_guarded or any("signature" in name for name in parameters),
        "403": is_guarded or "signature" in parameters,
        "404": "{" in path or path in _SINGLETONS,
        "408": takes_body,
        "413": takes_body,
        "422": may_be_invalid or answers_json or "204" in operation["responses"],
    }
    possible |= {status: name in parameters for status, name in _NEEDED_PARAMETER.items()}
    return (status for status in operation["responses"] if not possible.get(status, True))


def _undescribed(document: dict[str, Any]) -> Iterator[str]:
    for name, schema in sorted(reachable_schemas(document).items()):
        for field, part in schema.get("properties", {}).items():
            if not part.get("description"):
                yield f"{name}.{field} has no description"


def reachable_schemas(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the named schemas that an operation refers to, directly or through others."""
    found: dict[str, dict[str, Any]] = {}
    waiting = list(_references(document["paths"]))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = document["components"]["schemas"][name]
            waiting += _references(found[name])
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(target := value.get("$ref"), str):
            yield target.rsplit("/", 1)[-1]
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)
