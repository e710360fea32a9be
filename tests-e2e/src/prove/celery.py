"""The nightly DAG on two workers of Celery, which lose power in the middle of a step, gives the undisturbed bundle.

Redis is the broker, and PostgreSQL has Airflow's metadata and the results. Each worker has folders of its own, and of
Airflow's settings only those that SCALE names. A task without retries whose worker is lost is reported.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import copy

from bench.results import Goal, Result
from localservers.waiting import TooLateError, wait_until
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.demo import DemoSize, generate
from prove.celery_workers import PROGRAMS, CeleryWorker, CeleryWorkers
from prove.registry_process import TOKEN, RegistryProcess, running_registry
from testkit.airflow_processes import AirflowProcesses
from testkit.fake_server import FakeServer
from testkit.postgres import running_cluster
from testkit.redis_server import RedisServer

_NIGHTLY = "recommendation_pipeline"
_ARCHIVE = Path("bundle", "bundle.tar.gz")
_DAG = Path("airflow/dags", f"{_NIGHTLY}.py").absolute()
_ONE_TRY = "one_try"
_RUN = "proof"
_KILLED_IN = ("train", "evaluate")
_SIZE = DemoSize(datasets=120, users=150, interactions=4_000)
_STEP_SECONDS, _RUN_SECONDS = 300, 900
# Airflow's default is 300; a healthy task sends one every few seconds.
_HEARTBEAT_SECONDS = 30
_ONE_TRY_DAG = """
from time import sleep

from airflow.sdk import dag, task


@dag(schedule=None)
def one_try():
    @task
    def work():
        sleep(3600)

    work()


one_try()
"""


@dataclass(frozen=True)
class _Stack:
    airflow: AirflowProcesses
    workers: CeleryWorkers
    registry: RegistryProcess
    monitoring: FakeServer
    artifacts: Path
    home: Path


def prove(folder: Path, seed: int) -> list[Result]:
    """Return what became of the runs; needs `.venvs/images/airflow-celery`, which `make prove` prepares."""
    as_of = datetime.now(UTC).replace(microsecond=0)
    with ExitStack() as stack:
        postgres = stack.enter_context(running_cluster())
        for name in ("airflow", "business"):
            postgres.ensure_database(name)
        engine = open_engine(postgres.url("business"), "BUSINESS_DATABASE_URL")
        replace_content(engine, generate(_SIZE, seed % 2**31, as_of))
        engine.dispose()
        config = folder / "pipeline.yaml"
        config.write_text("queries: {most: 200}\n", encoding="utf-8")
        data = {
            "BUSINESS_DATABASE_URL": postgres.url("business"),
            "PIPELINE_CONFIG": str(config),
            "TRAINING_THREADS": "1",
            # On small data, threads that wait for each other on a busy machine cost a hundred times their work.
            "OMP_NUM_THREADS": "1",
        }
        expected = _undisturbed_archive(folder / "undisturbed", data, as_of)
        redis = stack.enter_context(RedisServer(folder))
        found = stack.enter_context(_running_stack(folder, data, redis.url, postgres.url("airflow")))
        return [*_nightly(found, as_of, expected), *_one_try(found)]


def _undisturbed_archive(store: Path, data: Mapping[str, str], as_of: datetime) -> bytes:
    """Run the steps one after the other, without Airflow, in the environment of the workers."""
    command = [str(PROGRAMS / "python"), "-m", "pipeline", "run", "--run-id", _RUN, "--as-of", as_of.isoformat()]
    subprocess.run(
        [*command, "--no-publish"],
        env={"PATH": os.environ["PATH"], "ARTIFACT_URL": str(store), **data},
        check=True,
        capture_output=True,
        timeout=_RUN_SECONDS,
    )
    return (store / "runs" / _RUN / _ARCHIVE).read_bytes()


@contextmanager
def _running_stack(folder: Path, data: Mapping[str, str], redis_url: str, postgres_url: str) -> Iterator[_Stack]:
    """Start what a run needs, with two workers."""
    dags, home, artifacts = folder / "dags", folder / "airflow", folder / "artifacts"
    for each in (dags, home):
        each.mkdir()
    copy(_DAG, dags)
    (dags / f"{_ONE_TRY}.py").write_text(_ONE_TRY_DAG, encoding="utf-8")
    with FakeServer() as monitoring, running_registry(folder / "registry") as registry:
        reported = {"SENTRY_DSN": monitoring.dsn, "GATEWAY_URL": monitoring.url, "SENTRY_ENVIRONMENT": "test"}
        celery = {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": redis_url,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{postgres_url}",
        }
        control = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres_url,
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "5",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(_HEARTBEAT_SECONDS),
            "SPOOL_DIR": str(home / "spool"),
        }
        handover = {
            "ARTIFACT_URL": str(artifacts),
            "REGISTRY_URL": str(registry.http.base_url).rstrip("/"),
            "REGISTRY_CI_TOKEN": TOKEN,
        }
        with (
            AirflowProcesses(home, dags, celery | control | reported, PROGRAMS) as airflow,
            CeleryWorkers(airflow, dags, {**celery, **reported, **data, **handover}) as workers,
        ):
            for number in range(2):
                workers.start(folder / f"worker-{number}")
            yield _Stack(airflow, workers, registry, monitoring, artifacts, folder)


def _nightly(stack: _Stack, as_of: datetime, expected: bytes) -> list[Result]:
    """Run the whole DAG, and kill the worker of some steps."""
    run = stack.artifacts / "runs" / _RUN
    stack.airflow.trigger(_NIGHTLY, _RUN, as_of)
    killed = 0
    for step in _KILLED_IN:
        worker = _find_worker(stack, _NIGHTLY, step)
        wait_until(partial(_has_begun, run, step), within=_STEP_SECONDS, what=f"the step {step} runs", every=0.01)
        worker.kill()
        killed += not (run / f"{step}.done.json").exists()
        stack.workers.start(stack.home / f"after-{step}")
    state = stack.airflow.state_at_end(_NIGHTLY, _RUN, _RUN_SECONDS)
    tasks = stack.airflow.tasks(_NIGHTLY, _RUN)
    passed = sum(each["state"] == "success" for each in tasks.values())
    retried = sum(each["try_number"] > 1 for each in tasks.values())
    active = stack.registry.client.active()
    is_deployed = state == "success" and active is not None and active.primary.version == _registered(run)
    differs = not (run / _ARCHIVE).exists() or (run / _ARCHIVE).read_bytes() != expected
    return [
        Result("celery: workers killed in the middle of a step", killed, "workers", Goal(least=len(_KILLED_IN))),
        Result("celery: tasks of that run that did not pass", len(tasks) - passed, "tasks", Goal(most=0)),
        Result("celery: tasks that needed another try", retried, "tasks", Goal(least=len(_KILLED_IN))),
        Result("celery: models deployed by that run", int(is_deployed), "models", Goal(least=1)),
        Result("celery: bundles that differ from the undisturbed one", int(differs), "bundles", Goal(most=0)),
        Result("celery: reports of tries that were repeated", len(_reports(stack, _NIGHTLY)), "reports", Goal(most=0)),
    ]


def _one_try(stack: _Stack) -> list[Result]:
    """Kill the worker of a task without retries."""
    stack.airflow.trigger(_ONE_TRY, _RUN)
    _find_worker(stack, _ONE_TRY, "work").kill()
    state = stack.airflow.state_at_end(_ONE_TRY, _RUN, _RUN_SECONDS)
    with suppress(TooLateError):
        wait_until(lambda: _reports(stack, _ONE_TRY), within=_STEP_SECONDS, what="the report")
    is_right = state == "failed" and _reports(stack, _ONE_TRY) == [["airflow", _ONE_TRY, "work"]]
    return [Result("celery: lost tasks without retries that were reported", int(is_right), "of 1", Goal(least=1))]


def _has_begun(run: Path, step: str) -> bool:
    """Return whether a step is at work, with all its modules imported."""
    try:
        times = json.loads((run / "steps.json").read_text("utf-8"))["steps"]
    except FileNotFoundError:
        return False
    return any((each["step"], each["state"]) == (step, "running") for each in times)


def _find_worker(stack: _Stack, dag_id: str, task_id: str) -> CeleryWorker:
    """Return the worker that runs a task, as soon as the task runs."""

    def pid() -> int:
        task = stack.airflow.tasks(dag_id, _RUN).get(task_id, {})
        return (task["pid"] or 0) if task.get("state") == "running" else 0

    wait_until(pid, within=_STEP_SECONDS, what=f"{dag_id}.{task_id} runs")
    return stack.workers.find(pid())


def _registered(run: Path) -> str:
    return str(json.loads((run / "registry" / "version.json").read_text("utf-8"))["version"])


def _reports(stack: _Stack, dag_id: str) -> list[list[str]]:
    return [
        event["fingerprint"] for event in stack.monitoring.events if event["fingerprint"][:2] == ["airflow", dag_id]
    ]
