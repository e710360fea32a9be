"""`make verify` finds all points beside a running stack, notifies no one, and fails if one doesn't arrive."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import astuple

import pytest

from harness import CHECKOUT, RunningStack
from localservers.ports import Ports
from monitoring import catalogue

VERIFY_SECONDS = 240
pytestmark = pytest.mark.timeout(VERIFY_SECONDS + 60)


def verify(stack: RunningStack, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it as the native runner does."""
    return subprocess.run(
        [CHECKOUT / ".venvs" / "services" / "bin" / "python", "-m", "verify", *arguments],
        env={**os.environ, **stack.env, "AIRFLOW_PYTHON": f"{CHECKOUT}/.venvs/airflow/bin/python", **variables},
        capture_output=True,
        text=True,
        timeout=VERIFY_SECONDS,
        check=False,
    )


@pytest.fixture
def documented_ports() -> Iterator[None]:
    """Nothing can listen on a documented port, as beside a stack that a user runs."""
    with ExitStack() as held:
        for port in astuple(Ports()):
            with suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
        yield


@pytest.mark.usefixtures("documented_ports")
def test_every_point_is_raised_by_a_real_fault_and_found_in_the_collector(stack: RunningStack) -> None:
    pids, version, issues = stack.pids(), stack.active_version(), stack.collector.issues()
    done = verify(stack)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for point in catalogue.load_reported():
        (line,) = (line for line in lines if line.split()[1:2] == [point.id])
        assert line.startswith("✓"), line
    assert lines[-1] == "✓ 24 of 24 points"
    # No one was notified (a message would name the environment), and nothing in use was touched.
    assert not [message for message in stack.wechat.messages() if "verify" in json.dumps(message, ensure_ascii=False)]
    assert (stack.pids(), stack.active_version()) == (pids, version)
    assert len(stack.collector.issues()) == len(issues)
    assert stack.api.get(f"/similar/{stack.dataset_id}").json()["fallback_level"] == 0


def test_a_point_that_does_not_arrive_is_a_failure(stack: RunningStack) -> None:
    done = verify(stack, "--only", "airflow.task_failed", "--wait", "2", AIRFLOW_PYTHON=sys.executable)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗  airflow.task_failed" in done.stdout
    assert "no event arrived" in done.stdout
    assert "no task ran" in done.stderr
