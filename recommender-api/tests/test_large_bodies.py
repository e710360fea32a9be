"""A body that is too large is rejected before it is read."""

from collections.abc import Callable

from recommender_api.app import create_app
from recommender_api.settings import Settings
from servicekit.http_protocol import HttpProtocol
from testkit.large_bodies import Route, check_large_bodies, send_large_body
from testkit.serving import Served


def test_no_route_reads_a_large_body(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    app = create_app(settings)
    authorized = {"Authorization": f"Bearer {settings.events_token.get_secret_value()}"}
    with Served(app, HttpProtocol) as served:
        routes = check_large_bodies(app, served.port)
        assert {Route("POST", "/events"), Route("GET", "/similar/1")} <= set(routes)
        for framing in ("content-length", "chunked"):
            refusal = send_large_body(served.port, Route("POST", "/events"), framing, headers=authorized)
            assert (refusal.status, refusal.sent_bytes < 16 * 2**20) == (413, True)
