"""The programs of a stack: how each is started, stopped and checked."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import httpx

from localservers import redis_server
from native import prometheus
from native.config import StackConfig
from native.environment import StackEnvironment

HEALTH_TIMEOUT_SECONDS = 2.0

_REGISTRY = "model-registry"
# All programs inherit the stack's variables; an empty one counts as one that is not set.
_NO_FIRST_ADMIN = MappingProxyType({"REGISTRY_TOKEN": ""})


@dataclass(frozen=True)
class Program:
    """`stop_signal` goes only to the main process; the rest of its group is killed after `stop_seconds`."""

    name: str
    command: list[str]
    healthy: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 12


@dataclass(frozen=True)
class Programs:
    """All programs of a stack in three groups: stores, collector, and the rest."""

    stores: list[Program]
    collector: list[Program]
    rest: list[Program]

    def __iter__(self) -> Iterator[Program]:
        """Yield every program in the order of a start."""
        yield from (*self.stores, *self.collector, *self.rest)


def of_stack(config: StackConfig, environment: StackEnvironment) -> Programs:
    """Return a stack's programs."""
    rest = [*_services(config, environment), *_airflow(config), *_metrics(config)]
    return Programs(_stores(config, environment), _collector(environment), rest)


def answers(url: str) -> bool:
    """Return whether a URL answers with 200."""
    try:
        return httpx.get(url, timeout=HEALTH_TIMEOUT_SECONDS).status_code == 200
    except httpx.TransportError:
        return False


def airflow_is_well(url: str) -> bool:
    """Return whether all of Airflow's processes have a heartbeat and the pipeline's DAG is known."""
    try:
        health = httpx.get(f"{url}/api/v2/monitor/health", timeout=HEALTH_TIMEOUT_SECONDS)
        known = httpx.get(f"{url}/api/v2/dags/recommendation_pipeline", timeout=HEALTH_TIMEOUT_SECONDS)
    except httpx.TransportError:
        return False
    if health.status_code != 200 or known.status_code != 200:
        return False
    return all(part["status"] == "healthy" for part in health.json().values())


def _stores(config: StackConfig, environment: StackEnvironment) -> list[Program]:
    """Return the stores, which all other programs need."""
    postgres = environment.postgres
    url = environment.variables()["REDIS_URL"]
    return [
        Program(
            "redis",
            redis_server.command(config.run / "redis", config.ports.redis),
            lambda: redis_server.answers(url),
            # A stop and a crash are the same here because of the append-only file, and tests use this to keep it down.
            stop_signal="KILL",
        ),
        Program(
            "postgres", postgres.command(), postgres.answers, user=postgres.user, stop_signal="INT", stop_seconds=30
        ),
    ]


def _collector(environment: StackEnvironment) -> list[Program]:
    """Return the collector's two programs."""
    made = environment.collector
    variables = made.environment()
    return [
        Program("sentry", made.web_command(), lambda: answers(f"{made.url}/health/ready"), variables),
        Program("sentry-worker", made.worker_command(), lambda: True, variables),
    ]


def _services(config: StackConfig, environment: StackEnvironment) -> list[Program]:
    """Return the services, and the simulator if no WeChat credentials or no mail server are set."""
    services = [
        _service(config, "notification-gateway", "notification_gateway", config.ports.gateway),
        _service(config, _REGISTRY, "model_registry", config.ports.registry),
        _service(config, "feature-sync", "feature_sync", config.ports.sync),
        _service(config, "recommender-api", "recommender_api", config.ports.api),
    ]
    if environment.simulates_weixin or environment.simulates_email:
        mail = {"SMTP_PORT": str(config.ports.mail)}
        services.insert(0, _service(config, "wechat-simulator", "wechat_simulator", config.ports.simulator, mail))
    return services


def _airflow(config: StackConfig) -> list[Program]:
    """Return Airflow's four processes, each supervised by itself, because `standalone` never restarts a dead child."""
    home = config.root / ".venvs" / "airflow" / "bin"
    url = f"http://127.0.0.1:{config.ports.airflow}"
    # A signal to the scheduler's group would also kill its workers, and the scheduler would hang.
    return [
        Program(
            name,
            [str(home / "airflow"), *options],
            lambda: airflow_is_well(url),
            # It finds its own programs by name.
            {"PATH": f"{home}:/usr/local/bin:/usr/bin:/bin", **_NO_FIRST_ADMIN},
            stop_seconds=15,
        )
        for name, options in (
            ("airflow", ["api-server"]),
            ("airflow-scheduler", ["scheduler", "--skip-serve-logs"]),
            ("airflow-dag-processor", ["dag-processor"]),
            ("airflow-triggerer", ["triggerer", "--skip-serve-logs"]),
        )
    ]


def _metrics(config: StackConfig) -> list[Program]:
    """Return Prometheus, if it is installed."""
    found = prometheus.program()
    if found is None:
        return []
    url = f"http://127.0.0.1:{config.ports.prometheus}/-/healthy"
    return [Program("prometheus", prometheus.command(config, found), lambda: answers(url))]


def supervisord() -> list[str]:
    """Return the command line of the supervisor, without its configuration."""
    return [sys.executable, "-m", "supervisor.supervisord"]


def _service(
    config: StackConfig, name: str, module: str, port: int, more: Mapping[str, str] = MappingProxyType({})
) -> Program:
    return Program(
        name,
        [config.python("services"), "-m", module],
        lambda: answers(f"http://127.0.0.1:{port}/health"),
        {"HOST": "127.0.0.1", "PORT": str(port), **({} if name == _REGISTRY else _NO_FIRST_ADMIN), **more},
    )
