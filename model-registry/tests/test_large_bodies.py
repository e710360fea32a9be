"""A body without the right to send it is rejected before it is read."""

import tempfile
from pathlib import Path

import pytest
from pydantic import SecretStr

from model_registry.app import create_app
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from servicekit.http_protocol import HttpProtocol
from testkit.large_bodies import Route, check_large_bodies, send_large_body
from testkit.serving import Served

TOKEN = "the-registry-token"
FORM = "multipart/form-data; boundary=part"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
        max_bundle_mb=8,
    )


def test_no_route_reads_a_large_body(
    settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Spooling would fail here.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    app = create_app(settings, sandbox)
    with Served(app, HttpProtocol) as served:
        routes = check_large_bodies(app, served.port)
        assert Route("POST", "/models/ranker/versions") in routes
        check_large_bodies(app, served.port, content_type=FORM)


def test_a_caller_with_the_token_may_send_a_bundle_of_the_configured_size(settings: Settings, sandbox: Sandbox) -> None:
    app, route = create_app(settings, sandbox), Route("POST", "/models/ranker/versions")
    authorized = {"Authorization": f"Bearer {TOKEN}"}
    with Served(app, HttpProtocol) as served:
        said = send_large_body(served.port, route, "content-length", content_type=FORM, headers=authorized)
        counted = send_large_body(served.port, route, "chunked", content_type=FORM, headers=authorized)
    assert (said.status, counted.status) == (413, 400)
