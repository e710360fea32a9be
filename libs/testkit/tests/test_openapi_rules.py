"""What a document must not say is found: one mistake of each kind."""

from typing import Any

from testkit.openapi_rules import violations

SCHEMAS = {
    "Used": {"properties": {"good": {"description": "Good"}, "bad": {"type": "string"}}},
    "Unused": {"properties": {"bad": {"type": "string"}}},
}
JSON = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Used"}}}}


def document(path: str, *statuses: str, **operation: Any) -> dict[str, Any]:
    responses = {"200": JSON} | {status: {"description": "…"} for status in statuses}
    return {"paths": {path: {"get": {"responses": responses, **operation}}}, "components": {"schemas": SCHEMAS}}


def test_a_field_that_an_answer_holds_needs_a_meaning() -> None:
    assert violations(document("/x")) == ["Used.bad has no description"]


def test_errors_are_announced_only_where_they_can_occur() -> None:
    found = violations(document("/x", "304", "400", "401", "403", "404", "408", "413", "422", "503"))
    assert found[:-1] == [f"GET /x: announces {status}" for status in (304, 400, 401, 403, 404, 408, 413)]


def test_a_guarded_route_with_a_body_may_announce_them() -> None:
    rich = document("/x/{id}", "400", "401", "404", "408", "413", security=[{}], requestBody={"content": {}})
    assert violations(rich) == ["Used.bad has no description"]


def test_a_parameter_needs_a_meaning() -> None:
    found = violations(document("/x", parameters=[{"name": "limit", "in": "query", "schema": {}}]))
    assert found[0] == "GET /x: parameter limit has no description"
