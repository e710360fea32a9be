"""The proofs detect the faults that they look for."""

import os
import tempfile

import pytest
from fastapi import FastAPI, UploadFile

from prove.bodies import _spooled_bytes, _Watch
from prove.services import SERVICES
from testkit.large_bodies import Route, check_large_bodies, routes_of
from testkit.serving import Served


def test_spooled_bytes_are_found_though_their_file_has_no_name() -> None:
    before = _spooled_bytes(os.getpid())
    with tempfile.TemporaryFile() as spooled:
        spooled.write(bytes(3_000_000))
        spooled.flush()
        with _Watch(os.getpid()) as watch:
            pass
        assert _spooled_bytes(os.getpid()) - before == 3_000_000
    assert watch.spooled_mb >= 3.0
    assert _spooled_bytes(os.getpid()) == before


def test_a_service_that_reads_the_body_fails_the_check() -> None:
    app = FastAPI(openapi_url=None)

    @app.post("/upload")
    def upload(bundle: UploadFile) -> None: ...

    with Served(app) as served, pytest.raises(AssertionError, match="POST /upload"):
        check_large_bodies(app, served.port, content_type="multipart/form-data; boundary=part")


def test_every_route_of_every_service_gets_a_body() -> None:
    asked = {service.name: set(routes_of(service.app())) for service in SERVICES}
    assert Route("POST", "/events") in asked["recommender-api"]
    assert Route("POST", "/models/ranker/versions") in asked["model-registry"]
    assert Route("POST", "/sync") in asked["feature-sync"]
    assert {Route("POST", "/dashboard/silences"), Route("POST", "/webhooks/sentry")} <= asked["notification-gateway"]
    assert all(Route("GET", "/openapi.json") in routes for routes in asked.values())
