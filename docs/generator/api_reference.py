"""docs/API_REFERENCE.md: every operation of every service, from their OpenAPI documents."""

from typing import Any

from services import SERVICES

_HEAD = """# API reference

Generated from the services' OpenAPI documents by `make docs`; `make test` checks that it is what the code says. Each
service serves its whole document at `/openapi.json` and a page to try it at `/docs`. Every 4xx and 5xx is an
`application/problem+json` document; every answer carries `X-Request-ID` and `X-Response-Time`.
"""


def render() -> str:
    """Return the page."""
    parts = [_HEAD]
    for service in SERVICES:
        document = service.create_app(service.settings()).openapi()
        parts.append(f"## {service.name}\n\n{document['info'].get('description', '').strip()}\n")
        for path, operations in sorted(document["paths"].items()):
            parts += [_operation(method, path, operation) for method, operation in operations.items()]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [f"### `{method.upper()} {path}`", "", operation.get("description") or operation.get("summary", ""), ""]
    if operation.get("security"):
        lines += ["Needs `Authorization: Bearer …`.", ""]
    if parameters := operation.get("parameters"):
        lines += ["| parameter | in | type | meaning |", "|---|---|---|---|"]
        lines += [_parameter(parameter) for parameter in parameters]
        lines.append("")
    if body := operation.get("requestBody"):
        lines += [f"Body: {', '.join(_content(kind, media) for kind, media in body['content'].items())}", ""]
    answers = [f"`{status}` {answer['description']}" for status, answer in sorted(operation["responses"].items())]
    lines += [f"Answers: {' · '.join(answers)}", ""]
    return "\n".join(lines)


def _parameter(parameter: dict[str, Any]) -> str:
    meaning = " ".join(parameter.get("description", "").split()).replace("|", "\\|")
    required = ", required" if parameter.get("required") else ""
    return f"| `{parameter['name']}` | {parameter['in']}{required} | {_type(parameter['schema'])} | {meaning} |"


def _type(schema: dict[str, Any]) -> str:
    kind: str
    if "anyOf" in schema:
        kind = " or ".join(_type(part) for part in schema["anyOf"] if part.get("type") != "null")
    elif "$ref" in schema:
        kind = f"`{schema['$ref'].rsplit('/', 1)[-1]}`"
    elif "enum" in schema:
        kind = " or ".join(f"`{value}`" for value in schema["enum"])
    elif schema.get("type") == "array":
        kind = f"{_type(schema.get('items', {}))}, repeated"
    else:
        kind = str(schema.get("type", "any"))
    bounds = [
        f"{sign} {schema[key]}"
        for key, sign in (("minimum", "≥"), ("maximum", "≤"), ("exclusiveMinimum", ">"), ("exclusiveMaximum", "<"))
        if key in schema
    ]
    return f"{kind} ({', '.join(bounds)})" if bounds else kind


def _content(kind: str, media: dict[str, Any]) -> str:
    return f"`{kind}` {_type(media.get('schema', {}))}"
