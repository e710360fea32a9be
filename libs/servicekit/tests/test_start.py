import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from testkit.stand_in import StandIn

_SERVICE = """
import gc
import sys
from contextlib import asynccontextmanager
from pydantic import SecretStr
from servicekit.app import base_app
from servicekit.run import run
from servicekit.settings import DEVELOPMENT_SECRET, ServiceSettings

class Settings(ServiceSettings):
    sample_token: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    fails: bool = False

def create_app(settings):
    @asynccontextmanager
    async def lifespan(app):
        print("left alone:", gc.get_freeze_count())
        if settings.fails:
            raise RuntimeError("the model is not there")
        yield
    return base_app("recsys-servicekit", "sample", lifespan=lifespan, description="For tests.")

sys.exit(run("sample", Settings, create_app))
"""


@pytest.fixture
def collector() -> Iterator[StandIn]:
    running = StandIn()
    running.start()
    yield running
    running.stop()


def _start(collector: StandIn, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "SENTRY_DSN": collector.dsn, **variables}
    return subprocess.run(
        [sys.executable, "-c", _SERVICE], env=given, capture_output=True, text=True, timeout=60, check=False
    )


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def _fingerprints(collector: StandIn) -> list[list[str]]:
    return [event["fingerprint"] for event in collector.events]


def test_unusable_settings_end_the_start_with_the_variables_name(collector: StandIn) -> None:
    ended = _start(collector, PORT="none", LOG_LEVEL="LOUD")
    assert ended.returncode == 2
    assert "PORT: " in ended.stderr
    assert "LOG_LEVEL: " in ended.stderr
    assert _fingerprints(collector) == [["api", "startup_failed", "ValidationError"]]


def test_production_refuses_a_default_secret_and_doesnt_print_it(collector: StandIn) -> None:
    ended = _start(collector, ENVIRONMENT="production")
    assert ended.returncode == 2
    assert "SAMPLE_TOKEN has its default value" in ended.stderr
    assert "insecure-development-secret" not in ended.stderr + json.dumps(collector.events)


def test_a_taken_port_is_said_and_reported(collector: StandIn) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = _start(collector, PORT=str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "cannot listen on 127.0.0.1" in ended.stderr
    assert _fingerprints(collector) == [["api", "startup_failed", "OSError"]]


def test_a_lifespan_that_fails_is_reported(collector: StandIn) -> None:
    ended = _start(collector, FAILS="1", PORT=_free_port())
    assert ended.returncode != 0
    assert _fingerprints(collector) == [["api", "startup_failed", "RuntimeError"]]


def test_garbage_collection_leaves_alone_what_was_imported(collector: StandIn) -> None:
    ended = _start(collector, FAILS="1", PORT=_free_port())
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith("left alone: "))
    assert int(line.rpartition(" ")[2]) > 10_000
