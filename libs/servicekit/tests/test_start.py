import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from monitoring.testing import captured
from servicekit.app import base_app
from testkit.fake_server import FakeServer

_SERVICE = """
import gc
import sys
from contextlib import asynccontextmanager
from pydantic import SecretStr
from contracts.access import HttpUrl, Token
from servicekit.app import base_app
from servicekit.run import StartRefusedError, run
from servicekit.settings import DEVELOPMENT_SECRET, ServiceSettings

class Settings(ServiceSettings):
    sample_token: Token = SecretStr(DEVELOPMENT_SECRET)
    sample_url: HttpUrl = "http://sample"
    fails: bool = False
    refuses: bool = False

def create_app(settings):
    if settings.refuses:
        raise StartRefusedError("rules.yaml:3: no such rule")
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
def collector() -> Iterator[FakeServer]:
    running = FakeServer()
    running.start()
    yield running
    running.stop()


def _start(collector: FakeServer, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "SENTRY_DSN": collector.dsn, **variables}
    return subprocess.run(
        [sys.executable, "-c", _SERVICE], env=given, capture_output=True, text=True, timeout=60, check=False
    )


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def _fingerprints(collector: FakeServer) -> list[list[str]]:
    return [event["fingerprint"] for event in collector.events]


def test_unusable_settings_end_the_start_with_the_variables_name(collector: FakeServer) -> None:
    ended = _start(collector, PORT="none", LOG_LEVEL="LOUD")
    assert ended.returncode == 2
    assert "PORT: " in ended.stderr
    assert "LOG_LEVEL: " in ended.stderr
    assert _fingerprints(collector) == [["api", "startup_failed", "ValidationError"]]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_module.before_send", "no_such_module cannot be imported"),
        ("json.no_such_function", "json has no attribute no_such_function"),
        ("json.__name__", "json.__name__ is not a plain function"),
    ],
)
def test_a_hook_that_cannot_be_loaded_ends_the_start_with_the_settings_name(
    collector: FakeServer, path: str, reason: str
) -> None:
    ended = _start(collector, SENTRY_BEFORE_SEND=path)
    assert ended.returncode == 2
    assert "sample: unusable settings:" in ended.stderr
    assert f"  SENTRY_BEFORE_SEND: Value error, {reason}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("value", ["8_000", " 8000", "8000 ", "+8000", "８０００", "8e999", "0x1f", "nan"])
def test_a_number_is_read_by_its_grammar_whoever_reads_it(collector: FakeServer, value: str) -> None:
    for name in ("PORT", "SPOOL_MAX_DAYS"):
        ended = _start(collector, **{name: value})
        assert ended.returncode == 2, ended.stderr
        assert f"  {name}: " in ended.stderr
        assert "write a number in the digits 0 to 9" in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAMPLE_TOKEN", "hush-hush\n"),
        ("SAMPLE_TOKEN", "hush-hush-密钥"),
        ("SAMPLE_URL", "http://hush-hush\n"),
        ("HOST", "hush-hush\udcff"),
        ("GATEWAY_URL", "http://hush-hush\n"),
        ("GATEWAY_TOKEN", "hush-hush "),
    ],
)
def test_what_no_header_and_no_address_can_hold_ends_the_start_and_is_not_printed(
    collector: FakeServer, name: str, value: str
) -> None:
    ended = _start(collector, **{name: value})
    assert ended.returncode == 2, ended.stderr
    assert f"  {name}: " in ended.stderr
    assert "hush-hush" not in ended.stderr + json.dumps(collector.events)
    assert "Traceback" not in ended.stderr


def test_a_refused_file_ends_the_start_with_its_line_and_no_traceback(collector: FakeServer) -> None:
    ended = _start(collector, REFUSES="1", PORT=_free_port())
    assert ended.returncode == 2
    said, reported = map(json.loads, ended.stderr.splitlines())
    assert said["message"] == "sample does not start: rules.yaml:3: no such rule"
    assert reported["point"] == "api.startup_failed"
    assert _fingerprints(collector) == [["api", "startup_failed", "StartRefusedError"]]


def test_production_refuses_a_default_secret_and_doesnt_print_it(collector: FakeServer) -> None:
    ended = _start(collector, ENVIRONMENT="production")
    assert ended.returncode == 2
    assert "SAMPLE_TOKEN has its default value" in ended.stderr
    assert "insecure-development-secret" not in ended.stderr + json.dumps(collector.events)


def test_a_taken_port_is_said_and_reported(collector: FakeServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = _start(collector, PORT=str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "cannot listen on 127.0.0.1" in ended.stderr
    assert _fingerprints(collector) == [["api", "startup_failed", "OSError"]]


def test_a_lifespan_that_fails_is_reported(collector: FakeServer) -> None:
    ended = _start(collector, FAILS="1", PORT=_free_port())
    assert ended.returncode != 0
    assert _fingerprints(collector) == [["api", "startup_failed", "RuntimeError"]]


def test_garbage_collection_leaves_alone_what_was_imported(collector: FakeServer) -> None:
    ended = _start(collector, FAILS="1", PORT=_free_port())
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith("left alone: "))
    assert int(line.rpartition(" ")[2]) > 10_000


async def _signals_of_a_service_that_runs(settled_seconds: float, seconds: float) -> list[str]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield

    app = base_app(
        "recsys-servicekit", "sample", lifespan=lifespan, description="For tests.", settled_seconds=settled_seconds
    )
    with captured() as captures:
        async with app.router.lifespan_context(app):
            await asyncio.sleep(seconds)
    return [each.point_id for each in captures.recovered]


def test_a_service_that_has_run_for_a_while_has_recovered_from_a_start_that_failed() -> None:
    assert asyncio.run(_signals_of_a_service_that_runs(0.0, 0.05)) == ["api.startup_failed"]


def test_a_service_that_ends_soon_after_its_start_has_not_recovered() -> None:
    assert asyncio.run(_signals_of_a_service_that_runs(60.0, 0.0)) == []
