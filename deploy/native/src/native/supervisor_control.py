"""Supervisor: its configuration, its start, and calls over its socket."""

import http.client
import os
import signal
import subprocess
import time
import xmlrpc.client
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from localservers.waiting import wait_until
from native import sessions
from native.config import StackConfig
from native.programs import Program, supervisord

# The maximum length of a Unix socket's path.
_MAX_SOCKET_PATH = 100
_STOP_ALL_SECONDS = 60
_RUNS = frozenset({"RUNNING", "STARTING", "STOPPING"})


class Supervisor:
    """The supervisor of one stack; its children inherit the environment that it is started with."""

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        self._file = config.run / "supervisord.conf"
        self._session_file = config.run / "supervisord.session"
        inside = config.run / "supervisor.sock"
        self._socket = inside if len(str(inside)) < _MAX_SOCKET_PATH else Path(f"/tmp/recsys-{config.id}.sock")  # noqa: S108

    def start(self, programs: Sequence[Program], environment: Mapping[str, str]) -> None:
        """Start the supervisor; it knows all programs, but none is running."""
        self._config.logs.mkdir(parents=True, exist_ok=True)
        self._file.write_text(self._configuration(programs), encoding="utf-8")
        self._file.chmod(0o600)
        # Otherwise Airflow would compile all modules again in every process.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run([*supervisord(), "-c", str(self._file)], env={**inherited, **environment}, check=True)
        wait_until(self.runs, within=15, what="supervisor answers")
        sessions.remember(int(self._call("getPID")), self._session_file)

    def runs(self) -> bool:
        """Return whether the supervisor accepts calls."""
        try:
            self._call("getState")
        except (OSError, http.client.HTTPException, xmlrpc.client.Fault):
            # This error means that it is shutting down.
            return False
        return True

    def states(self) -> list[dict[str, Any]]:
        """Return name, statename, pid, start and description of every program."""
        found: list[dict[str, Any]] = self._call("getAllProcessInfo")
        return found

    def state(self, name: str) -> dict[str, Any]:
        """Return one program's state."""
        found: dict[str, Any] = self._call("getProcessInfo", name)
        return found

    def start_program(self, name: str) -> None:
        """Start a program if it isn't running."""
        if self.state(name)["statename"] not in ("RUNNING", "STARTING"):
            self._call("startProcess", name, False)

    def stop_program(self, name: str) -> None:
        """Stop a program and keep it down until it is started again."""
        if self.state(name)["statename"] not in ("STOPPED", "EXITED", "FATAL"):
            self._call("stopProcess", name, True)

    def stop(self, last: Collection[str] = ()) -> None:
        """Stop every program and the supervisor, and kill remaining processes.

        All stop at the same time, except `last`, which the others need for a clean stop: Airflow waits for its
        database.
        """
        deadline = time.monotonic() + _STOP_ALL_SECONDS
        if self.runs():
            for state in self.states():
                if state["name"] not in last and state["statename"] in _RUNS - {"STOPPING"}:
                    self._call("stopProcess", state["name"], False)
            while time.monotonic() < deadline and any(
                state["statename"] in _RUNS for state in self.states() if state["name"] not in last
            ):
                time.sleep(0.1)
            self._call("shutdown")
        while sessions.leads(self._session_file) and time.monotonic() < deadline:
            time.sleep(0.1)
        # Airflow's tasks leave the group of a killed scheduler, but not the supervisor's session.
        for pid in sessions.members(self._session_file):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._session_file.unlink(missing_ok=True)

    def processes(self) -> list[int]:
        """Return all running processes that the supervisor or its programs started."""
        return sessions.members(self._session_file)

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        finally:
            transport.close()

    def _configuration(self, programs: Sequence[Program]) -> str:
        run, logs = self._config.run, self._config.logs
        head = f"""
[unix_http_server]
file={self._socket}
chmod=0700

[supervisord]
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
pidfile={run}/supervisord.pid
childlogdir={logs}
directory={run}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{self._socket}
"""
        return head + "".join(self._section(program) for program in programs)

    def _section(self, program: Program) -> str:
        environment = ",".join(f'{name}="{_escape(value)}"' for name, value in program.environment.items())
        lines = [
            f"[program:{program.name}]",
            f"command={_escape(' '.join(program.command))}",
            f"directory={'/' if program.user else self._config.root}",
            f"environment={environment}",
            f"user={program.user}" if program.user else "",
            "autostart=false",
            "autorestart=true",
            "startsecs=1",
            "startretries=10",
            f"stopsignal={program.stop_signal}",
            f"stopwaitsecs={program.stop_seconds}",
            "stopasgroup=false",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={self._config.logs}/{program.name}.log",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=3",
        ]
        return "\n" + "\n".join(line for line in lines if line) + "\n"


def _escape(text: str) -> str:
    return text.replace("%", "%%")
