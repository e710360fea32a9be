"""Settings of an OTLP receiver that can't be right are named at the start; a receiver that fails costs no request."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from pydantic import SecretStr, ValidationError

from localservers.ports import Ports
from monitoring import MonitoringSettings

# More than the queue takes, which is 2,048 spans.
REQUESTS = 3_000
GRACE_SECONDS = 10.0
PROGRAM = f"""
import logging, signal, sys
import monitoring

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
monitoring.init("tested", monitoring.MonitoringSettings())
scope = {{"type": "http", "method": "GET", "path": "/", "headers": []}}
def handle():
    with monitoring.request_trace(scope), monitoring.span("recall"):
        pass
for _ in range({REQUESTS}):
    handle()
print("answered", flush=True)
sys.stdin.readline()
monitoring.shutdown()
"""


@contextmanager
def _server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accept connections on loopback, and do with each what `answer` does."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                answer(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for each in held:
        each.close()


def _hang(_connection: socket.socket) -> None:
    """Take the connection, and say nothing."""


def _say_garbage(connection: socket.socket) -> None:
    connection.sendall(b"\x00\xff SSH-2.0-no\r\n\r\n" * 100)
    connection.close()


def _reject(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    connection.close()


@contextmanager
def _refusing() -> Iterator[str]:
    yield f"http://127.0.0.1:{Ports.free().api}"


@pytest.mark.parametrize(
    ("receiver", "reason"),
    [
        (_refusing, "Max retries exceeded"),
        (lambda: _server(_hang), "timeout"),
        (lambda: _server(_say_garbage), "Connection"),
        (lambda: _server(_reject), "403"),
    ],
    ids=["refuses", "hangs", "answers garbage", "rejects"],
)
def test_a_receiver_that_fails_holds_up_neither_requests_nor_the_stop_and_is_named_once(
    receiver: Callable[[], AbstractContextManager[str]], reason: str
) -> None:
    with receiver() as url:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        with subprocess.Popen(
            (sys.executable, "-c", PROGRAM),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                rest = _run(process, reason)
            finally:
                process.kill()
        assert process.returncode == 0
        assert "spans" not in rest
        assert "opentelemetry" not in rest


def _run(process: subprocess.Popen[str], reason: str) -> str:
    """Let it answer, name the receiver and stop; return what it says after it has named the receiver."""
    assert process.stdout is not None
    assert process.stderr is not None
    # All of them, although no span can leave.
    assert process.stdout.readline() == "answered\n"
    said = ""
    while "takes no spans" not in said:
        said = process.stderr.readline()
        assert said, "it has ended"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in said
    assert reason in said
    return process.communicate("\n", timeout=GRACE_SECONDS)[1]


@pytest.mark.parametrize(
    "address",
    [
        "tempo:4318",
        "grpc://tempo:4317",
        "http://",
        "http://tempo:99999",
        "http://tempo:4318/v1/traces",
        "http://tempo:4318/?a=b",
        "http://user:secret@tempo:4318",
    ],
)
def test_an_address_that_cannot_be_right_is_an_error_that_names_the_setting(address: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MonitoringSettings(otel_exporter_otlp_endpoint=address)
    assert [each["loc"] for each in caught.value.errors()] == [("otel_exporter_otlp_endpoint",)]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        "Authorization",
        "=a-value",
        "Authorization=Bearer a,other",
        "Grüße=a",
        "a=ü",
        "x-api-key=k3ysecretvalue%0D%0Aabc",
        "x-api-key=%E5%AF%86",
    ],
)
def test_headers_that_cannot_be_sent_are_an_error_that_does_not_show_them(headers: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MonitoringSettings(otel_exporter_otlp_headers=SecretStr(headers))
    assert [each["loc"] for each in caught.value.errors()] == [("otel_exporter_otlp_headers",)]
    assert headers not in str(caught.value)


def test_the_value_that_is_sent_is_a_secret_too() -> None:
    given = MonitoringSettings(otel_exporter_otlp_headers=SecretStr("x-scope=team%20a,Authorization=Bearer%20k3y"))
    assert {"team a", "Bearer k3y"} < {*given.secrets()}


def test_headers_are_names_and_values() -> None:
    given = SecretStr("Authorization=Bearer a=b==, x-scope = team%20a,")
    assert MonitoringSettings(otel_exporter_otlp_headers=given).otel_exporter_otlp_headers == given


def test_a_service_does_not_start_with_such_an_address_and_says_which_setting_it_is() -> None:
    done = subprocess.run(
        (sys.executable, "-m", "model_registry"),
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "tempo:4318"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "OTEL_EXPORTER_OTLP_ENDPOINT: " in done.stderr
    assert "Traceback" not in done.stderr
