"""The stack as native processes under supervisor: how the end-to-end tests reach it and inject faults."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from localservers.ports import Ports
from localservers.waiting import wait_until
from native.config import StackConfig
from native.stack import Stack

# Small enough to train in a minute, large enough for candidates from every channel.
SIZES = (600, 1500, 40_000)
# The collector's worker has no health check.
START_SECONDS = 60.0


class NativeStack:
    """A stack of the checkout on free ports, in a folder of its own."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        ports = stack.config.ports
        self.env = {
            **stack.environment.variables(),
            "API_URL": f"http://127.0.0.1:{ports.api}",
            "AIRFLOW_URL": f"http://127.0.0.1:{ports.airflow}",
            "WECHAT_SIMULATOR_URL": f"http://127.0.0.1:{ports.simulator}",
        }

    @property
    def artifacts(self) -> Path:
        """The artifact store's folder."""
        return Path(self.env["ARTIFACT_URL"])

    def up(self) -> None:
        """Do what `make up` does."""
        self._stack.up()

    def programs(self) -> list[str]:
        """Return the names of all programs."""
        return [state["name"] for state in self._stack.supervisor.states()]

    def main_process(self, program: str) -> int:
        """Return the process id of a program, 0 while it doesn't run."""
        return int(self._stack.supervisor.state(program)["pid"])

    def is_well(self, program: str) -> bool:
        """Return whether a program runs and answers."""
        return self.main_process(program) != 0 and self._stack.program(program).healthy()

    def hold_down(self, program: str) -> None:
        """Kill a program so that it stays down."""
        self._stack.hold_down(program)

    def bring_back(self, program: str) -> None:
        """Start a program again and wait until it is healthy."""
        self._stack.bring_back(program)

    @contextmanager
    def frozen(self, program: str) -> Iterator[None]:
        """Make a program hang for the length of a block."""
        pid = self.main_process(program)
        # Process 0 would be the sender's whole process group: the tests would hang with the program.
        assert pid, f"{program} doesn't run"
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def started(root: Path, say: Callable[[str], None]) -> Iterator[NativeStack]:
    """Start a stack as `make up STACK=native` does, and stop all its processes afterwards."""
    with tempfile.TemporaryDirectory(prefix="recsys-e2e-") as folder:
        stack = Stack(StackConfig(root, Path(folder) / "run", Ports.free(), demo_sizes=SIZES), say)
        try:
            stack.up()
            native = NativeStack(stack)
            wait_until(
                lambda: all(native.is_well(program) for program in native.programs()),
                within=START_SECONDS,
                what="every program is healthy",
            )
            yield native
            stack.down()
            assert stack.supervisor.processes() == []
        finally:
            stack.clean()
