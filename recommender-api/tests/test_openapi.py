"""Every answer is as the OpenAPI document describes it, with a token and without one."""

from collections.abc import Callable

import pytest

from testkit.openapi import check_openapi
from testkit.running_app import RunningApp

OPERATIONS = {
    "GET /similar/{dataset_id}",
    "GET /recommend/detail/{dataset_id}",
    "GET /recommend/user/{user_id}",
    "GET /hot/trending",
    "POST /events",
    "POST /models/reload",
    "GET /models/shadow",
    "GET /health",
    "GET /ready",
    "GET /metrics",
}


@pytest.mark.parametrize("token", ["the-token-of-all", "no-token"])
def test_every_response_is_documented(start: Callable[..., RunningApp], token: str) -> None:
    api = start(events_token="the-token-of-all", admin_token="the-token-of-all")
    headers = {"Authorization": f"Bearer {token}"}
    assert set(check_openapi(api.ask("/openapi.json"), api.url, headers=headers)) == OPERATIONS
