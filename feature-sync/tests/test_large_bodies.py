"""A body that is too large is rejected before it is read."""

from pydantic import SecretStr

from feature_sync.app import create_app
from feature_sync.settings import Settings
from servicekit.http_protocol import HttpProtocol
from testkit.large_bodies import Route, check_large_bodies, send_large_body
from testkit.serving import Served

TOKEN = "the-token"


def test_no_route_reads_a_large_body(redis_url: str, postgres_url: str) -> None:
    app = create_app(
        Settings(redis_url=SecretStr(redis_url), database_url=SecretStr(postgres_url), admin_token=SecretStr(TOKEN))
    )
    with Served(app, HttpProtocol) as served:
        assert Route("POST", "/sync") in check_large_bodies(app, served.port)
        for framing in ("content-length", "chunked"):
            authorized = {"Authorization": f"Bearer {TOKEN}"}
            assert send_large_body(served.port, Route("POST", "/sync"), framing, headers=authorized).status == 413
