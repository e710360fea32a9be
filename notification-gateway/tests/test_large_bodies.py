"""A body past the limit is rejected before it is read."""

import pytest

from notification_gateway.app import create_app
from running_gateway import ADMIN, TOKEN, settings
from servicekit.http_protocol import HttpProtocol
from testkit.large_bodies import LARGE_BYTES, Route, check_large_bodies, send_large_body
from testkit.serving import Served


def test_no_route_reads_a_large_body(sqlite_url: str) -> None:
    app = create_app(settings(sqlite_url))
    with Served(app, HttpProtocol) as served:
        routes = check_large_bodies(app, served.port)
        check_large_bodies(app, served.port, content_type="application/x-www-form-urlencoded")
    assert {Route("POST", path) for path in ("/signals", "/webhooks/sentry", "/dashboard/silences")} <= set(routes)


@pytest.mark.parametrize("path", ["/signals", "/notify", "/webhooks/alertmanager", "/silences"])
def test_a_large_body_is_rejected_even_with_the_token(sqlite_url: str, path: str) -> None:
    token = ADMIN if path == "/silences" else TOKEN
    with Served(create_app(settings(sqlite_url)), HttpProtocol) as served:
        for framing in ("content-length", "chunked"):
            refusal = send_large_body(
                served.port, Route("POST", path), framing, headers={"Authorization": f"Bearer {token}"}
            )
            assert refusal.status == 413
            # Within its limit, and what the two ends' buffers hold.
            assert refusal.sent_bytes < LARGE_BYTES / 3
