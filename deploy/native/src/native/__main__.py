"""The command line of the native stack (`make up`, `make down`, …)."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from localservers.executables import MissingProgramError
from localservers.waiting import TooLateError
from native import backup, pipeline, prerequisites, prometheus
from native.config import StackConfig
from native.stack import Stack, StartError, example_dataset
from provisioning import pages
from provisioning.backup import BackupError
from provisioning.demo import why_no_demo
from provisioning.environment_file import UnreadableFileError
from provisioning.first_model import TrainingFailedError

_CHECKOUT = Path(__file__).parents[4]
_Command = Callable[[Stack, argparse.Namespace], int]


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the commands that the Makefile gives."""
    parser = argparse.ArgumentParser(prog="native", description=__doc__)
    parser.add_argument("--run", type=Path, default=_CHECKOUT / ".run", help="the stack's folder")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, command: _Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text)
        added.set_defaults(command=command)
        return added

    add("prerequisites", _prerequisites, "install the programs that don't come from PyPI, including those of the tests")
    add("up", _up, "start the whole stack, ready to use")
    add("down", _down, "stop everything; the data stays")
    add("clean", _clean, "stop everything and remove its data")
    add("status", _status, "list the programs and their states")
    add("env", _env, "print the generated addresses and tokens")
    add("logs", _logs, "follow the logs").add_argument("service", nargs="?", help="one program; all without it")
    add("hold-down", _hold_down, "kill one program and keep it down").add_argument("program")
    add("bring-back", _bring_back, "start a program that was kept down").add_argument("program")
    backed_up = add(
        "backup", _backup, "back up databases, artifacts, secrets and policy below a folder; the stack runs"
    )
    backed_up.add_argument("folder", type=Path)
    restored = add("restore", _restore, "replace the data of this stack by that of a backup; the stack is down")
    restored.add_argument("folder", type=Path)
    verify = add("verify", _verify, "raise every monitoring point beside this stack and find it in its collector")
    verify.add_argument("--only", metavar="POINT", help="one point")
    piped = add("pipeline", _pipeline, "run `python -m pipeline …` on this stack's databases")
    piped.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def main() -> int:
    """Run one command; return the exit code."""
    given = command_line().parse_args()
    began = time.monotonic()
    stack = Stack(
        StackConfig(_CHECKOUT, given.run.resolve(), demo=why_no_demo(os.environ) is None),
        lambda text: print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True),
    )
    command: _Command = given.command
    try:
        return command(stack, given)
    except (BackupError, MissingProgramError, StartError, TrainingFailedError, TooLateError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except UnreadableFileError as error:
        sys.stderr.write(f"\n{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return 130


def _prerequisites(stack: Stack, _: argparse.Namespace) -> int:
    prerequisites.ensure(stack.say, for_tests=True)
    return 0


def _up(stack: Stack, _: argparse.Namespace) -> int:
    stack.up()
    ports, variables = stack.config.ports, stack.environment.variables()
    rows = [
        ("recommendations", f"http://127.0.0.1:{ports.api}/docs"),
        ("model registry", f"http://127.0.0.1:{ports.registry}/docs"),
        ("feature sync", f"http://127.0.0.1:{ports.sync}/docs"),
        ("alerts", f"http://127.0.0.1:{ports.gateway}/dashboard"),
        ("collector", f"{variables['COLLECTOR_URL']}  {pages.COLLECTOR_LOGIN}"),
        ("Airflow", f"http://127.0.0.1:{ports.airflow}"),
    ]
    if prometheus.program() is not None:
        rows.append(("Prometheus", variables["PROMETHEUS_URL"]))
    if stack.environment.simulates_weixin or stack.environment.simulates_email:
        rows.append(("WeChat and mail simulator", f"http://127.0.0.1:{ports.simulator}"))
    print(f"\n{pages.table(rows)}")
    if (dataset := example_dataset(f"http://127.0.0.1:{ports.api}")) is not None:
        print(f"\n  curl -s '127.0.0.1:{ports.api}/similar/{dataset}?limit=3'\n")
    return 0


def _down(stack: Stack, _: argparse.Namespace) -> int:
    stack.down()
    return 1 if stack.supervisor.processes() else 0


def _clean(stack: Stack, _: argparse.Namespace) -> int:
    stack.clean()
    return 0


def _status(stack: Stack, _: argparse.Namespace) -> int:
    if not stack.supervisor.runs():
        print("nothing runs")
        return 3
    states = stack.supervisor.states()
    for state in states:
        print(f"{state['name']:<24}{state['statename']:<10}{state['description']}")
    return 0 if all(state["statename"] == "RUNNING" for state in states) else 3


def _env(stack: Stack, _: argparse.Namespace) -> int:
    path = stack.config.environment_file
    if not path.exists():
        sys.stderr.write("no stack was started here yet: make up\n")
        return 1
    print(path.read_text(encoding="utf-8"), end="")
    return 0


def _logs(stack: Stack, given: argparse.Namespace) -> int:
    found = sorted(stack.config.logs.glob(f"{given.service or '*'}.log"))
    if not found:
        sys.stderr.write(f"no log of {given.service or 'any program'} in {stack.config.logs}\n")
        return 1
    try:
        return subprocess.run(["tail", "-n", "50", "-F", *map(str, found)], check=False).returncode
    except KeyboardInterrupt:
        return 0


def _hold_down(stack: Stack, given: argparse.Namespace) -> int:
    stack.hold_down(given.program)
    return 0


def _bring_back(stack: Stack, given: argparse.Namespace) -> int:
    stack.bring_back(given.program)
    return 0


def _backup(stack: Stack, given: argparse.Namespace) -> int:
    print(backup.make_backup(stack, given.folder.resolve()))
    return 0


def _restore(stack: Stack, given: argparse.Namespace) -> int:
    backup.restore_backup(stack, given.folder.resolve())
    print("restored; start it: make up STACK=native")
    return 0


def _verify(stack: Stack, given: argparse.Namespace) -> int:
    command = [stack.config.python("services"), "-m", "verify", *(["--only", given.only] if given.only else [])]
    variables = stack.variables | {"AIRFLOW_PYTHON": stack.config.python("airflow")}
    return subprocess.run(command, env=variables, check=False).returncode


def _pipeline(stack: Stack, given: argparse.Namespace) -> int:
    pipeline.run(stack.config, stack.variables, *given.arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
