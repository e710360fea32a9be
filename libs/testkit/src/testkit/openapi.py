"""Whether a service keeps the word that its OpenAPI document gives: no answer that it doesn't announce."""

from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from testkit.openapi_rules import violations

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def check_openapi(
    document: dict[str, Any], url: str, *, headers: Mapping[str, str], examples: int = 40, endless: str = ""
) -> list[str]:
    """Ask each operation so many questions that fit the document, and as many that don't; returns the operations.

    `endless` is an operation that is left out, because its answers have no end.

    Raises `AssertionError` if the document breaks `openapi_rules`, and at the first answer that is a 5xx, or has a
    status, content type, header or body that the document doesn't announce.
    """
    if wrong := violations(document):
        raise AssertionError("\n".join(wrong))
    asked = []
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        if not isinstance(result, Ok):
            raise AssertionError(str(result.err()))  # noqa: TRY004 - what the document says is under test
        operation = result.ok()
        if operation.label == endless:
            continue
        modes = [GenerationMode.POSITIVE]
        if any(True for _ in operation.iter_parameters()) or operation.body:
            modes.append(GenerationMode.NEGATIVE)
        for mode in modes:

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case[Any]) -> None:
                response = case.call(base_url=url, headers=dict(headers), timeout=30)
                case.validate_response(response, checks=CHECKS)

            try:
                ask()
            except Unsatisfiable:
                # Where any text fits, nothing doesn't.
                if mode is GenerationMode.POSITIVE:
                    raise
        asked.append(operation.label)
    return asked
