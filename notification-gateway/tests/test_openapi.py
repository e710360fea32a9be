import httpx
import pytest

from notification_gateway.app import create_app
from running_gateway import ADMIN, TOKEN, settings
from testkit.openapi import check_openapi
from testkit.serving import Served


@pytest.mark.parametrize("token", [TOKEN, ADMIN])
def test_whatever_is_asked_nothing_is_answered_that_is_not_announced(sqlite_url: str, token: str) -> None:
    with Served(create_app(settings(sqlite_url))) as served:
        document = httpx.get(f"{served.url}/openapi.json").json()
        headers = {"Authorization": f"Bearer {token}"}
        asked = check_openapi(document, served.url, headers=headers, examples=15, endless="GET /dashboard/stream")
        assert len(asked) >= 10
