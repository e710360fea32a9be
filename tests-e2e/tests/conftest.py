"""One stack for all end-to-end tests, on ports and in a folder of its own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import CHECKOUT, RunningStack
from native.config import StackConfig
from native.ports import Ports
from native.stack import Stack

# Small enough to train in a minute, large enough that every channel has something to say.
SIZES = (600, 1500, 40_000)
_notes: list[str] = []


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[RunningStack]:
    """A stack that was started as `make up` starts it, with a model that Airflow trained."""
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    with tempfile.TemporaryDirectory(prefix="recsys-e2e-") as folder:
        config = StackConfig(CHECKOUT, Path(folder) / "run", Ports.free(), demo_sizes=SIZES)
        started = Stack(config, lambda text: reporter.write_line(f"  {text}"))
        try:
            started.up()
            running = RunningStack(started, _notes)
            yield running
            running.close()
            started.down()
            assert started.supervisor.processes() == []
        finally:
            started.clean()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the tests measured."""
    if _notes:
        terminalreporter.section("measured")
        for note in _notes:
            terminalreporter.write_line(note)
