"""One stack for all end-to-end tests, on ports of its own: native processes, or containers with `--stack compose`."""

from collections.abc import Iterator

import pytest

import compose_stack
import native_stack
from harness import CHECKOUT, RunningStack

_KINDS = {"native": native_stack.started, "compose": compose_stack.started}
_notes: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller choose how the stack is run."""
    parser.addoption("--stack", choices=list(_KINDS), default="native", help="how the stack under test is run")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[RunningStack]:
    """A stack that was started as `make up` starts it, with a model trained by Airflow."""
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    kind = request.config.getoption("--stack")
    with _KINDS[kind](CHECKOUT, lambda text: reporter.write_line(f"  {text}")) as programs:
        running = RunningStack(programs, _notes)
        yield running
        running.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the measurements of the tests."""
    if _notes:
        terminalreporter.section("measured")
        for note in _notes:
            terminalreporter.write_line(note)
