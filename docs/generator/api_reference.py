"""docs/API_REFERENCE.md: every operation of every service, from their OpenAPI documents."""

import json
from collections.abc import Iterator
from typing import Any

from schema_examples import Schema, example_of
from schema_types import describe_type

from services import SERVICES
from testkit.openapi_rules import reachable_schemas

_HEAD = """# API reference

```console
$ curl -s '127.0.0.1:8000/similar/1?limit=3'                # ask
$ curl -s 127.0.0.1:8000/openapi.json                       # the same reference, for programs
```

Every service serves its OpenAPI document at `/openapi.json` and a page to try it at `/docs`. This page is generated
from these documents by `make docs`; `make test` checks that it is what the code says.

- Every answer carries `X-Request-ID` (the id of the request, made if the caller sends none) and `X-Response-Time`
  (seconds).
- Every 4xx and 5xx is a [Problem](#problem) as `application/problem+json`. Any route can answer 500, and any route that
  takes parameters or a body 400. The other errors stand at their routes.
- JSON routes reject unknown and repeated query parameters with 422. A body on a route that takes none is bounded too:
  413 beyond 1 MiB.
- A token is sent as `Authorization: Bearer …`. [RIGHTS](RIGHTS.md) says which roles may call a route; `make env` prints
  the tokens of the stack.
"""
# Said once, in the head.
_EVERYWHERE = {"400", "500"}


def render() -> str:
    """Return the page."""
    documents = {service.name: service.create_app(service.settings()).openapi() for service in SERVICES}
    reachable = {name: reachable_schemas(document) for name, document in documents.items()}
    shared = {name: each for name, each in reachable["recommender-api"].items() if _is_shared(name, each, reachable)}
    parts = [_HEAD, *_contents(documents)]
    for service, document in documents.items():
        parts += ["", f"## {service}", "", document["info"].get("description", "").strip()]
        for path, operations in sorted(document["paths"].items()):
            for method, operation in operations.items():
                parts += _operation(method, path, operation, reachable[service])
        own = {name: each for name, each in reachable[service].items() if name not in shared}
        parts += ["", f"### Schemas of {service}", *_schemas(own)]
    parts += ["", "## Schemas of every service", *_schemas(shared)]
    return "\n".join(parts) + "\n"


def _contents(documents: dict[str, Any]) -> Iterator[str]:
    yield "| service | port | routes |"
    yield "|---|---|---|"
    for number, (service, document) in enumerate(documents.items()):
        routes = [
            f"[{method.upper()} {path}](#{method}-{_slug(path)})"
            for path, operations in sorted(document["paths"].items())
            for method in operations
        ]
        yield f"| [{service}](#{service}) | {8000 + number} | {' · '.join(routes)} |"


def _slug(path: str) -> str:
    """Return a path as GitHub makes a part of an anchor of it."""
    return "".join(letter for letter in path if letter.isalnum() or letter in "-_").lower()


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Schema]) -> Iterator[str]:
    yield from ("", f"### `{method.upper()} {path}`")
    yield from ("", *_meaning(operation))
    if operation.get("security"):
        yield from ("", "Needs `Authorization: Bearer …`.")
    if parameters := operation.get("parameters"):
        yield from ("", "| parameter | in | type | required | meaning |", "|---|---|---|---|---|")
        for parameter in parameters:
            shown = parameter["schema"] | {"description": parameter.get("description", "")}
            is_required = parameter.get("required", False)
            yield _row(f"`{parameter['name']}` | {parameter['in']}", shown, is_required=is_required)
    if body := operation.get("requestBody"):
        for kind, media in body["content"].items():
            yield from _content("Body" if body.get("required") else "Body (may be left out)", kind, media, schemas)
    for status, answer in _answers(operation, errors=False):
        yield from _answer(status, answer, schemas)
    errors = [
        f"`{status}` {answer['description']}"
        for status, answer in _answers(operation, errors=True)
        if status not in _EVERYWHERE
    ]
    if errors:
        yield from ("", "Errors:", "", *(f"- {error}" for error in errors))


def _meaning(operation: dict[str, Any]) -> Iterator[str]:
    summary, description = operation["summary"], operation.get("description")
    # A summary that FastAPI made is the name of the function, with which the id of the operation begins.
    if description and operation["operationId"].startswith(summary.replace(" ", "_").lower()):
        yield description
        return
    yield f"{summary}."
    if description:
        yield from ("", description)


def _answers(operation: dict[str, Any], *, errors: bool) -> list[tuple[str, dict[str, Any]]]:
    return [each for each in sorted(operation["responses"].items()) if (each[0] >= "400") is errors]


def _answer(status: str, answer: dict[str, Any], schemas: dict[str, Schema]) -> Iterator[str]:
    said = "" if answer["description"] == "Successful Response" else f" {answer['description']}."
    content = answer.get("content", {})
    if not content:
        yield from ("", f"**Answer** `{status}`:{said or ' no body.'}")
    for kind, media in content.items():
        yield from _content(f"Answer** `{status}`{said and ':'}{said}**", kind, media, schemas)
    if headers := answer.get("headers"):
        yield from ("", "| header | type | meaning |", "|---|---|---|")
        for name, header in headers.items():
            yield f"| `{name}` | {describe_type(header['schema'])} | {_cell(header.get('description', ''))} |"


def _content(title: str, kind: str, media: dict[str, Any], schemas: dict[str, Schema]) -> Iterator[str]:
    schema = media.get("schema", {})
    yield from ("", f"**{title}** `{kind}` {describe_type(schema)}".replace("****", ""))
    if kind == "application/json":
        yield from _example(_media_example(media, schemas))


def _example(value: Any) -> Iterator[str]:
    yield from ("", "```json", json.dumps(value, indent=2, ensure_ascii=False), "```")


def _media_example(media: dict[str, Any], schemas: dict[str, Schema]) -> Any:
    # What belongs to the route goes before what belongs to the schema.
    return example_of(
        media.get("schema", {}) | {name: media[name] for name in ("example", "examples") if name in media}, schemas
    )


def _schemas(schemas: dict[str, Schema]) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        yield from ("", f"#### {name}")
        if description := schema.get("description"):
            yield from ("", " ".join(description.split()))
        if name == "Problem":
            yield from _example(example_of(schema, schemas))
        yield from ("", "| field | type | required | meaning |", "|---|---|---|---|")
        required = schema.get("required", ())
        for field, part in schema.get("properties", {}).items():
            yield _row(f"`{field}`", part, is_required=field in required)


def _row(head: str, schema: Schema, *, is_required: bool) -> str:
    default = schema.get("default")
    otherwise = "no" if default in (None, "", [], {}) else f"no, `{json.dumps(default)}`"
    kind = describe_type(schema).replace("|", "\\|")
    return f"| {head} | {kind} | {'yes' if is_required else otherwise} | {_cell(schema.get('description', ''))} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _is_shared(name: str, schema: Schema, reachable: dict[str, dict[str, Schema]]) -> bool:
    return all(_fields(schemas.get(name, {})) == _fields(schema) for schemas in reachable.values())


def _fields(schema: Schema) -> Schema:
    """Return a schema without the examples of its fields, in which services may differ."""
    properties = schema.get("properties", {})
    fields = {name: {key: part[key] for key in part if key != "examples"} for name, part in properties.items()}
    return schema | {"properties": fields}
