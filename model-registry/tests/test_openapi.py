import httpx
import pytest

from running_registry import RunningRegistry
from testkit.openapi import check_openapi


@pytest.mark.parametrize("token", ["the-registry-token", "no-token"])
def test_every_response_is_documented(registry: RunningRegistry, token: str) -> None:
    document = httpx.get(f"{registry.url}/openapi.json").json()
    headers = {"Authorization": f"Bearer {token}"}
    assert len(check_openapi(document, registry.url, headers=headers, examples=25)) >= 10
