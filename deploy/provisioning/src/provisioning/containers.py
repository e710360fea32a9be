"""The output of the one-shot `setup` container: each program's settings in that program's own volume."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from provisioning import environment_file
from provisioning.generated import SIMULATED, SIMULATED_WEIXIN, STACK, kept_or_made, simulated_email, simulated_weixin
from provisioning.pages import COLLECTOR_LOGIN
from provisioning.places import Places
from provisioning.variables import READ_BY, derived

# A server that runs as another user reads it; its volume is mounted nowhere else.
_READABLE = 0o444
# While this file is in their volumes, the containers of the demo idle; it contains the reason.
NO_DEMO = "no-demo"
_STATE = Path("/var/lib/recsys")
_SIMULATOR = "http://wechat-simulator:8010"
_MAIL_CATCHER = "smtp://wechat-simulator:8025"
_OF_THE_HOST = (
    "SENTRY_DSN",
    "COLLECTOR_URL",
    "REDIS_URL",
    "DATABASE_URL",
    "BUSINESS_DATABASE_URL",
    "REGISTRY_URL",
    "FEATURE_SYNC_URL",
    "GATEWAY_URL",
    "PROMETHEUS_URL",
)


class Containers:
    """The programs' volumes below `root`, and the ports that the host publishes, by name (`REDIS_PORT`, …)."""

    def __init__(self, root: Path, ports: Mapping[str, str]) -> None:
        self._root = root
        self._ports = ports
        self._kept = root / "setup" / "env"
        self._kept_weixin = root / "setup" / "weixin.env"

    def set_up(self) -> None:
        """Generate missing values and write each program's settings; safe to repeat."""
        generated = _keep(self._kept, STACK)
        variables = {**generated, **derived(self._inside(), generated)}
        for program, names in READ_BY.items():
            self._give(program, {name: variables[name] for name in names})
        secrets = self._root / "secrets"
        environment_file.write(secrets / "postgres" / "password", generated["POSTGRES_PASSWORD"], _READABLE)
        environment_file.write(secrets / "alertmanager" / "gateway-token", generated["GATEWAY_TOKEN"], _READABLE)

    def simulate_weixin(self) -> None:
        """Connect notification-gateway and the WeChat Work simulator."""
        credentials = _keep(self._kept_weixin, SIMULATED_WEIXIN)
        self._give("wechat-simulator", credentials)
        self._simulate({**credentials, **simulated_weixin(_SIMULATOR)})

    def simulate_email(self) -> None:
        """Let notification-gateway send its emails to the catcher beside the WeChat Work simulator."""
        self._simulate(simulated_email(_MAIL_CATCHER))

    def _simulate(self, variables: Mapping[str, str]) -> None:
        gateway = environment_file.read(self._root / "notification-gateway" / "env")
        # Production rejects simulators, and production is the default.
        self._give("notification-gateway", {**gateway, **variables, "ENVIRONMENT": "development"})

    def mark_demo(self, reason: str | None) -> None:
        """Turn the demo's containers on or off; `reason` says why they are off."""
        for program in ("airflow", "wechat-simulator"):
            marker = self._root / program / NO_DEMO
            if reason is None:
                marker.unlink(missing_ok=True)
            else:
                environment_file.write(marker, f"{reason}\n")

    def seen_from_host(self) -> dict[str, str]:
        """Return addresses, as seen from the host, and secrets."""
        generated = environment_file.read(self._kept)
        variables = derived(self._published(), generated)
        return {
            **generated,
            **environment_file.read(self._kept_weixin),
            **{name: variables[name] for name in _OF_THE_HOST},
            "API_URL": f"http://{self._here('API_PORT')}",
            "AIRFLOW_URL": f"http://{self._here('AIRFLOW_PORT')}",
            "WECHAT_SIMULATOR_URL": f"http://{self._here('SIMULATOR_PORT')}",
        }

    def pages(self) -> list[tuple[str, str]]:
        """Return the name and the address of every page."""
        found = [
            ("recommendations", f"http://{self._here('API_PORT')}/docs"),
            ("model registry", f"http://{self._here('REGISTRY_PORT')}/docs"),
            ("feature sync", f"http://{self._here('SYNC_PORT')}/docs"),
            ("alerts", f"http://{self._here('GATEWAY_PORT')}/dashboard"),
            ("collector", f"http://{self._here('COLLECTOR_PORT')}  {COLLECTOR_LOGIN}"),
            ("Airflow", f"http://{self._here('AIRFLOW_PORT')}"),
            ("Prometheus", f"http://{self._here('PROMETHEUS_PORT')}"),
        ]
        gateway = environment_file.read(self._root / "notification-gateway" / "env")
        if any(gateway.get(name) for name in SIMULATED):
            found.append(("WeChat and mail simulator", f"http://{self._here('SIMULATOR_PORT')}"))
        return found

    def _give(self, program: str, variables: Mapping[str, str]) -> None:
        environment_file.write(self._root / program / "env", environment_file.render(variables))

    def _inside(self) -> Places:
        return Places(
            redis="redis:6379",
            postgres="postgres:5432",
            collector="sentry:9000",
            collector_page=f"http://{self._here('COLLECTOR_PORT')}",
            registry="model-registry:8001",
            sync="feature-sync:8002",
            gateway="notification-gateway:8003",
            gateway_page=f"http://{self._here('GATEWAY_PORT')}",
            airflow="airflow:8080",
            airflow_page=f"http://{self._here('AIRFLOW_PORT')}",
            airflow_listens_on="0.0.0.0:8080",
            prometheus="prometheus:9090",
            artifacts=Path("/var/lib/artifacts"),
            state=_STATE,
            airflow_home=_STATE / "airflow",
            dags=Path("/opt/dags"),
            alert_policy=Path("/etc/recsys/alerts.yaml"),
        )

    def _published(self) -> Places:
        return replace(
            self._inside(),
            redis=self._here("REDIS_PORT"),
            postgres=self._here("POSTGRES_PORT"),
            collector=self._here("COLLECTOR_PORT"),
            registry=self._here("REGISTRY_PORT"),
            sync=self._here("SYNC_PORT"),
            gateway=self._here("GATEWAY_PORT"),
            prometheus=self._here("PROMETHEUS_PORT"),
        )

    def _here(self, port: str) -> str:
        return f"127.0.0.1:{self._ports[port]}"


def _keep(path: Path, makers: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    values = kept_or_made(environment_file.read(path), makers)
    environment_file.write(path, environment_file.render(values))
    return values
