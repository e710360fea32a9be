"""The stack as a whole: start it until it is ready, stop it completely."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property

import httpx

from localservers.waiting import TooLateError, wait_until
from native import pipeline, prerequisites, programs, prometheus
from native.config import StackConfig
from native.environment import StackEnvironment
from native.programs import Program
from native.supervisor_control import Supervisor
from provisioning import first_model
from provisioning.first_model import AirflowClient
from provisioning.variables import DATABASES

START_SECONDS = 120.0
_LOG_TAIL = 40


class StartError(RuntimeError):
    """A part didn't start; the message contains the end of its log."""


class Stack:
    """One stack; every method may be repeated."""

    def __init__(self, config: StackConfig, say: Callable[[str], None]) -> None:
        self.config = config
        self.supervisor = Supervisor(config)
        self.say = say

    @cached_property
    def environment(self) -> StackEnvironment:
        """The stack's variables; the caller's own environment takes precedence for the allowed ones."""
        return StackEnvironment(self.config, os.environ)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the stack's programs, including the caller's."""
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**inherited, **self.environment.variables()}

    def up(self) -> None:
        """Start missing programs, and train the first model; raises `StartError` and similar errors."""
        prerequisites.ensure(self.say)
        config, environment = self.config, self.environment
        wanted = programs.of_stack(config, environment)
        if not self.supervisor.runs():
            if taken := config.ports.in_use():
                raise StartError(
                    f"these ports are in use by something else: {', '.join(taken)}\n"
                    "Stop the programs that use them (`ss -ltnp` shows them). Only containers can take other ports "
                    "(API_PORT, … in .env.example)."
                )
            self._make_folders()
            environment.write()
            environment.postgres.create()
            self.supervisor.start(list(wanted), environment.variables())
        self._start(wanted.stores)
        for database in DATABASES:
            environment.postgres.ensure_database(database)
        with ThreadPoolExecutor() as pool:
            preparations = [pool.submit(self._prepare_collector), pool.submit(self._prepare_airflow)]
            for each in preparations:
                each.result()
        self._start(wanted.collector)
        self._start(wanted.rest)
        if config.demo and not self._has_active_model(environment.variables()):
            self._first_model()

    @staticmethod
    def _has_active_model(variables: Mapping[str, str]) -> bool:
        return first_model.has_active_model(variables["REGISTRY_URL"], variables["REGISTRY_CI_TOKEN"])

    def down(self) -> None:
        """Stop everything; the data stays."""
        stores = programs.of_stack(self.config, self.environment).stores
        self.supervisor.stop(last=[program.name for program in stores])

    def clean(self) -> None:
        """Stop everything and remove its data."""
        self.down()
        for folder in (self.config.run, self.config.postgres_data.parent if os.geteuid() == 0 else self.config.run):
            shutil.rmtree(folder, ignore_errors=True)

    def hold_down(self, name: str) -> None:
        """Kill one program and keep it down; raises `StartError` for an unknown name, and if the stack is down."""
        program = self.program(name)
        self._require_running()
        self.supervisor.stop_program(program.name)

    def bring_back(self, name: str) -> None:
        """Start a program again and wait until it is healthy; raises `StartError` as `hold_down` does."""
        program = self.program(name)
        self._require_running()
        self._start([program])

    def program(self, name: str) -> Program:
        """Return one of the stack's programs; raises `StartError` for an unknown name."""
        found = {program.name: program for program in programs.of_stack(self.config, self.environment)}
        if name not in found:
            raise StartError(f"no program is called {name!r}; there are {', '.join(found)}")
        return found[name]

    def _require_running(self) -> None:
        if not self.supervisor.runs():
            raise StartError("the stack does not run: make up")

    def _start(self, wanted: Sequence[Program]) -> None:
        for program in wanted:
            self.supervisor.start_program(program.name)
        for program in wanted:
            try:
                took = wait_until(program.healthy, within=START_SECONDS, what=f"{program.name} is healthy")
            except TooLateError as error:
                raise StartError(f"{error}\n{self._log_tail(program.name)}") from error
            self.say(f"{program.name} is healthy" + (f" ({took:.1f} s)" if took >= 1 else ""))

    def _first_model(self) -> None:
        self.say("generating demo data")
        pipeline.load_demo_data(self.config, self.variables)
        self.say("training the first model through Airflow")
        with closing(AirflowClient(f"http://127.0.0.1:{self.config.ports.airflow}")) as airflow:
            airflow.train(self.say)
        api = f"http://127.0.0.1:{self.config.ports.api}/ready"
        wait_until(lambda: programs.answers(api), within=60, what="recommender-api has the model")

    def _make_folders(self) -> None:
        for name in ("redis", "airflow", "artifacts", "spool", "logs"):
            (self.config.run / name).mkdir(parents=True, exist_ok=True)
        prometheus.prepare(self.config)

    def _prepare_collector(self) -> None:
        self.environment.collector.prepare()
        self.say("collector prepared")

    def _prepare_airflow(self) -> None:
        program = str(self.config.root / ".venvs" / "airflow" / "bin" / "airflow")
        done = subprocess.run(
            [program, "db", "migrate"], env=self.variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise StartError(f"airflow db migrate failed: {done.stderr.strip()[-1000:]}")
        self.say("Airflow's database prepared")

    def _log_tail(self, name: str) -> str:
        log = self.config.logs / f"{name}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL:] if log.exists() else []
        return "\n".join([f"the end of {log}:", *lines])


def example_dataset(api: str) -> int | None:
    """Return the id of a dataset of the API's model, or None if there is no model."""
    try:
        answer = httpx.get(f"{api}/hot/trending", params={"limit": 1}, timeout=5)
    except httpx.TransportError:
        return None
    items = answer.json().get("items", []) if answer.status_code == 200 else []
    return items[0]["dataset_id"] if items else None
