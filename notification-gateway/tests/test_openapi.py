from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from notification_gateway.app import create_app
from running_gateway import ADMIN, TOKEN, settings
from testkit.openapi import check_openapi
from testkit.serving import Served

# What senders may do; all else is asked with the admin token.
OF_SENDERS = ("/signals", "/notify", "/webhooks/", "/reports")


@pytest.mark.parametrize(("token", "of_senders"), [(TOKEN, True), (ADMIN, False)])
def test_every_answer_is_documented_in_the_openapi_schema(sqlite_url: str, token: str, *, of_senders: bool) -> None:
    with Served(create_app(settings(sqlite_url))) as served:
        document = httpx.get(f"{served.url}/openapi.json").json()
        paths = document["paths"]
        document["paths"] = {path: each for path, each in paths.items() if path.startswith(OF_SENDERS) == of_senders}
        headers = {"Authorization": f"Bearer {token}"}
        asked = check_openapi(document, served.url, headers=headers, examples=10, endless="GET /dashboard/stream")
        assert len(asked) == sum(len(each) for each in document["paths"].values()) - (not of_senders)


def test_the_example_of_a_silence_is_accepted_and_answered_as_its_example_says(sqlite_url: str) -> None:
    with Served(create_app(settings(sqlite_url))) as served:
        schemas = httpx.get(f"{served.url}/openapi.json").json()["components"]["schemas"]
        body = examples_of(schemas["NewSilence"])
        answer = httpx.post(f"{served.url}/silences", json=body, headers={"Authorization": f"Bearer {ADMIN}"})
    assert answer.status_code == 201, answer.text
    made, expected = answer.json(), examples_of(schemas["Silence"])
    assert (made["reason"], made["created_by"]) == (expected["reason"], expected["created_by"])
    assert made["matcher"]["fingerprint"] == examples_of(schemas["Matcher"])["fingerprint"]
    assert length_of(made) == length_of(expected) == timedelta(minutes=body["minutes"])


def examples_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: field["examples"][0] for name, field in schema["properties"].items() if "examples" in field}


def length_of(silence: dict[str, Any]) -> timedelta:
    return datetime.fromisoformat(silence["ends_at"]) - datetime.fromisoformat(silence["starts_at"])
