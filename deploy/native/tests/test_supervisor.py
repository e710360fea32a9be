import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localservers.waiting import wait_until
from native.config import StackConfig
from native.programs import Program
from native.supervisor_control import Supervisor

# A program with a child in another process group, as in Airflow's tasks.
_LEAVES_A_CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    config = StackConfig(tmp_path, tmp_path / ".run")
    config.run.mkdir()
    made = Supervisor(config)
    script = tmp_path / "leaves_a_child.py"
    script.write_text(_LEAVES_A_CHILD, encoding="utf-8")
    made.start(
        [
            Program("sleeper", ["sleep", "600"], lambda: True),
            Program("parent", [sys.executable, str(script), str(tmp_path / "child")], lambda: True),
        ],
        {"GIVEN": "yes"},
    )
    yield made
    made.stop()


def test_a_killed_program_is_restarted(supervisor: Supervisor) -> None:
    supervisor.start_program("sleeper")
    wait_until(lambda: supervisor.state("sleeper")["statename"] == "RUNNING", within=60, what="it runs")
    first = supervisor.state("sleeper")["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.state("sleeper")["pid"] not in (0, first), within=60, what="it has been restarted")


def test_a_stopped_program_stays_down(supervisor: Supervisor) -> None:
    supervisor.start_program("sleeper")
    supervisor.stop_program("sleeper")
    time.sleep(1.5)
    assert supervisor.state("sleeper")["statename"] == "STOPPED"


def test_stop_leaves_no_process_behind(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start_program("sleeper")
    supervisor.start_program("parent")
    child = tmp_path / "child"
    wait_until(
        lambda: child.exists() and child.read_text(encoding="utf-8") != "", within=60, what="the child is running"
    )
    started = supervisor.processes()
    assert int(child.read_text(encoding="utf-8")) in started
    supervisor.stop()
    assert supervisor.processes() == []
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), within=60, what="all are gone")
