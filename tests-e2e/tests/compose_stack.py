"""The stack in containers: how the end-to-end tests reach it and inject faults."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from localservers.ports import Ports
from localservers.waiting import wait_until
from provisioning import environment_file

COMMAND_SECONDS = 60
# Images may have to be built, and a model has to be trained.
UP_SECONDS = 1500
BACK_SECONDS = 60.0
_ONE_SHOTS = ("setup", "setup-demo", "airflow-init")


class ComposeStack:
    """A stack of the checkout's compose file under a project name of its own, on free ports."""

    def __init__(self, root: Path, project: str, ports: Mapping[str, int]) -> None:
        self._root = root
        self._project = project
        published = {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
        self._environment = {**os.environ, **published, "VERSION": "e2e"}

    @cached_property
    def env(self) -> dict[str, str]:
        """The addresses and secrets as `make env` shows them."""
        printed = self._compose("run", "--rm", "--no-deps", "-T", "setup", "env")
        return environment_file.parse(printed)

    @cached_property
    def artifacts(self) -> Path:
        """The artifact store's folder: the volume's path on the host."""
        volume = f"{self._project}_artifacts"
        return Path(self._docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume).strip())

    def up(self) -> None:
        """Do what `make up` does."""
        self._compose("up", "--build", "--detach", "--wait", within=UP_SECONDS)

    def remove(self) -> None:
        """Stop everything and remove containers and volumes."""
        self._compose("down", "--volumes", "--remove-orphans", within=UP_SECONDS)

    def programs(self) -> list[str]:
        """Return the services that run permanently."""
        return [name for name in self._compose("config", "--services").split() if name not in _ONE_SHOTS]

    def main_process(self, program: str) -> int:
        """Return the host's process id of a container's main process; 0 while it doesn't run."""
        return int(self._state(program)["Pid"])

    def is_well(self, program: str) -> bool:
        """Return whether a container runs, and its health check passes."""
        state = self._state(program)
        return bool(state["Running"]) and state.get("Health", {"Status": "healthy"})["Status"] == "healthy"

    def hold_down(self, program: str) -> None:
        """Kill a container so that it stays down: the engine treats its own kill as a manual stop."""
        self._compose("kill", program)

    def bring_back(self, program: str) -> None:
        """Start a container again and wait until it is healthy."""
        self._compose("start", program)
        wait_until(lambda: self.is_well(program), within=BACK_SECONDS, what=f"{program} is healthy")

    @contextmanager
    def frozen(self, program: str) -> Iterator[None]:
        """Make a container hang for the length of a block."""
        self._compose("pause", program)
        try:
            yield
        finally:
            self._compose("unpause", program)

    def logs(self) -> str:
        """Return the end of all logs."""
        return self._compose("logs", "--no-color", "--tail", "40")

    def _state(self, program: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._docker("inspect", "--format", "{{json .State}}", self._id(program)))
        return found

    def _id(self, program: str) -> str:
        return self._compose("ps", "--all", "--quiet", program).strip()

    def _compose(self, *arguments: str, within: float = COMMAND_SECONDS) -> str:
        command = ["compose", "--project-name", self._project, *arguments]
        return self._docker(*command, within=within)

    def _docker(self, *arguments: str, within: float = COMMAND_SECONDS) -> str:
        done = subprocess.run(
            ["docker", *arguments],
            cwd=self._root,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-3000:]}"
        return done.stdout


@contextmanager
def started(root: Path, say: Callable[[str], None]) -> Iterator[ComposeStack]:
    """Build and start the containers, and remove them and their volumes."""
    stack = ComposeStack(root, f"recsys-e2e-{os.getpid()}", asdict(Ports.free()))
    try:
        began = time.monotonic()
        say("building and starting the containers")
        stack.up()
        say(f"all are healthy after {time.monotonic() - began:.0f} s")
        yield stack
    except AssertionError:
        say(stack.logs())
        raise
    finally:
        stack.remove()
