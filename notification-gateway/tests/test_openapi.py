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
