"""The programs of a soak run, observed by a Prometheus, beside a business database that trainings read."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from contracts.registry.client import RegistryClient
from localservers.ports import Ports
from localservers.waiting import wait_until
from native import prometheus
from native.config import StackConfig
from soak.stack import CHECKOUT, Stack, running_stack
from testkit.processes import ServerProcess

TRAINING_SECONDS = 400
# A small marketplace has fewer queries than the gate wants.
_SMALL = {"MODEL_GATE_MIN_QUERIES": "100"}
_START_SECONDS = 60
_ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class ObservedStack:
    """The stack, and how its pipeline is run."""

    stack: Stack
    pipeline_variables: dict[str, str]

    @property
    def business_database(self) -> Path:
        """A SQLite file."""
        return self.stack.folder / "business.db"

    @contextmanager
    def registry(self) -> Iterator[RegistryClient]:
        """Return a client of the registry, who calls itself li.wei."""
        headers = self.stack.authorization | {"X-Deployed-By": "li.wei"}
        with httpx.Client(base_url=self.stack.urls["registry"], headers=headers, timeout=_ANSWER_SECONDS) as http:
            yield RegistryClient(http.request, "ranker")

    def pipeline(self, *arguments: str) -> int:
        """Run one command of the pipeline to its end, and return its exit code."""
        with (self.stack.folder / "pipeline.log").open("ab") as log:
            return subprocess.run(
                (sys.executable, "-m", "pipeline", *arguments),
                env=self.pipeline_variables,
                cwd=self.stack.folder,
                stdout=log,
                stderr=log,
                timeout=TRAINING_SECONDS,
                check=False,
            ).returncode


@contextmanager
def running_observed_stack(folder: Path) -> Iterator[ObservedStack]:
    """Run it in a new folder, without data and model; at the end all programs are down."""
    program = prometheus.program()
    if program is None:
        raise RuntimeError("prometheus is missing: run `python -m native prerequisites`")
    port = Ports.free().prometheus
    with running_stack(folder, {"PROMETHEUS_URL": f"http://127.0.0.1:{port}", **_SMALL}) as stack:
        names = {"api": "recommender", "registry": "registry", "sync": "feature-sync", "gateway": "gateway"}
        ports = {name: urlsplit(stack.urls[each]).port or 0 for name, each in names.items()}
        config = StackConfig(CHECKOUT, folder, Ports(**ports, prometheus=port))
        prometheus.prepare(config)
        process = ServerProcess(tuple(prometheus.command(config, program)), folder / "prometheus.log", cwd=str(folder))
        try:
            wait_until(
                lambda: process.check_alive() and _answers(f"http://127.0.0.1:{port}/-/ready"),
                within=_START_SECONDS,
                what="Prometheus is ready",
            )
            yield ObservedStack(stack, _pipeline_variables(stack))
        finally:
            process.end()


def _pipeline_variables(stack: Stack) -> dict[str, str]:
    own = stack.folder / "pipeline"
    own.mkdir()
    return {
        **stack.monitored,
        "BUSINESS_DATABASE_URL": f"sqlite:///{stack.folder}/business.db",
        "DATABASE_URL": stack.database_url,
        "ARTIFACT_URL": str(own / "artifacts"),
        "SPOOL_DIR": str(own / "spool"),
        "REGISTRY_URL": stack.urls["registry"],
        "REGISTRY_CI_TOKEN": stack.token,
        "FEATURE_SYNC_URL": stack.urls["feature-sync"],
        "ADMIN_TOKEN": stack.token,
    }


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=_ANSWER_SECONDS).is_success
    except httpx.TransportError:
        return False
