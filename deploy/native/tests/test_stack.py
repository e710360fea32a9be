from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from native.config import StackConfig
from native.programs import Program
from native.stack import Stack, StartError

_COMMANDS = pytest.mark.parametrize("command", [Stack.hold_down, Stack.bring_back])


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    config = StackConfig(tmp_path, tmp_path / ".run")
    config.run.mkdir()
    made = Stack(config, lambda _: None)
    yield made
    made.supervisor.stop()


@_COMMANDS
def test_an_unknown_program_is_an_error_that_names_the_known_ones(
    stack: Stack, command: Callable[[Stack, str], None]
) -> None:
    stack.supervisor.start([Program("redis", ["sleep", "600"], lambda: True)], {})
    with pytest.raises(StartError, match=r"no program is called 'foo'; there are .*redis"):
        command(stack, "foo")


@_COMMANDS
def test_no_program_of_a_stack_that_is_down_is_stopped_or_started(
    stack: Stack, command: Callable[[Stack, str], None]
) -> None:
    with pytest.raises(StartError, match="the stack does not run: make up"):
        command(stack, "redis")
