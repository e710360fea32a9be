"""The variables that every program of a stack reads: generated once, derived from the ports, or the user's own."""

import shlex
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any

from native.collector import Collector
from native.config import StackConfig
from native.postgres import PostgresCluster

_GENERATED: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": lambda: token_hex(16),
    "COLLECTOR_KEY": lambda: token_hex(16),
    "COLLECTOR_TOKEN": lambda: token_hex(20),
    "COLLECTOR_PASSWORD": lambda: token_hex(12),
    "COLLECTOR_SECRET": lambda: token_hex(32),
    "REGISTRY_TOKEN": lambda: token_hex(24),
    "GATEWAY_TOKEN": lambda: token_hex(24),
    "ADMIN_TOKEN": lambda: token_hex(24),
    "EVENTS_TOKEN": lambda: token_hex(24),
    "SENTRY_WEBHOOK_SECRET": lambda: token_hex(24),
    "AIRFLOW__CORE__FERNET_KEY": lambda: urlsafe_b64encode(token_bytes(32)).decode(),
    "AIRFLOW__API__SECRET_KEY": lambda: token_hex(32),
    "AIRFLOW__API_AUTH__JWT_SECRET": lambda: token_hex(48),
}
_SIMULATED_WEIXIN: dict[str, Callable[[], str]] = {
    "WEIXIN_CORP_ID": lambda: f"ww{token_hex(8)}",
    "WEIXIN_CORP_SECRET": lambda: token_hex(21),
    "WEIXIN_AGENT_ID": lambda: "1000002",
    "WEIXIN_TO_USER": lambda: "oncall",
}
# What a user may set to point a part of the stack at something else.
_OVERRIDABLE = (
    "ALERT_EMAIL_TO",
    "ALERT_POLICY",
    "ARTIFACT_URL",
    "BUSINESS_DATABASE_URL",
    "ENVIRONMENT",
    "LOG_LEVEL",
    "SENTRY_DSN",
    "SENTRY_ENVIRONMENT",
    "SENTRY_IGNORED_POINTS",
    "SENTRY_RELEASE",
    "SENTRY_SAMPLE_RATE",
    "SENTRY_TRACES_IGNORED",
    "SENTRY_TRACES_SAMPLE_RATE",
    "SMTP_URL",
    "WEIXIN_BASE_URL",
    "WEIXIN_CORP_ID",
    "WEIXIN_CORP_SECRET",
    "WEIXIN_AGENT_ID",
    "WEIXIN_TO_USER",
    "WEIXIN_ROBOT_KEY",
)
_WEIXIN_CREDENTIALS = ("WEIXIN_CORP_ID", "WEIXIN_ROBOT_KEY")


class StackEnvironment:
    """Reads and writes the environment file of a stack; generated values are kept across starts."""

    def __init__(self, config: StackConfig, user: Mapping[str, str]) -> None:
        self._config = config
        self._given = {name: user[name] for name in _OVERRIDABLE if user.get(name)}
        kept = read(config.environment_file)
        generated = dict(_GENERATED)
        self.simulates_weixin = not any(name in self._given for name in _WEIXIN_CREDENTIALS)
        if self.simulates_weixin:
            generated |= _SIMULATED_WEIXIN
        self._values = {name: kept.get(name) or make() for name, make in generated.items()}

    @property
    def postgres(self) -> PostgresCluster:
        """The stack's PostgreSQL."""
        return PostgresCluster(
            self._config.postgres_data, self._config.ports.postgres, self._values["POSTGRES_PASSWORD"]
        )

    @property
    def collector(self) -> Collector:
        """The stack's collector."""
        return Collector(
            root=self._config.root,
            data=self._config.run / "collector",
            port=self._config.ports.collector,
            key=self._values["COLLECTOR_KEY"],
            token=self._values["COLLECTOR_TOKEN"],
            password=self._values["COLLECTOR_PASSWORD"],
            secret=self._values["COLLECTOR_SECRET"],
        )

    def variables(self) -> dict[str, str]:
        """Return everything: what a user set wins over what is derived."""
        return {**self._values, **self._derived(), **self._given}

    def write(self) -> None:
        """Write the environment file, readable by its owner alone."""
        path = self._config.environment_file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        lines = [f"{name}={shlex.quote(value)}" for name, value in sorted(self.variables().items())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _derived(self) -> dict[str, str]:
        config, ports, postgres = self._config, self._config.ports, self.postgres
        derived: dict[str, Any] = {
            "ENVIRONMENT": "development",
            "SENTRY_ENVIRONMENT": "development",
            "SENTRY_DSN": self.collector.dsn,
            "COLLECTOR_URL": self.collector.url,
            "REDIS_URL": f"redis://127.0.0.1:{ports.redis}/0",
            "DATABASE_URL": postgres.url("recsys"),
            "BUSINESS_DATABASE_URL": postgres.url("business"),
            "ARTIFACT_URL": config.run / "artifacts",
            "REGISTRY_URL": f"http://127.0.0.1:{ports.registry}",
            "FEATURE_SYNC_URL": f"http://127.0.0.1:{ports.sync}",
            "GATEWAY_URL": f"http://127.0.0.1:{ports.gateway}",
            "SPOOL_DIR": config.run / "spool",
            "MODEL_CACHE_DIR": config.run / "model-cache",
            "EVENT_JOURNAL_DIR": config.run / "event-journal",
            # On two cores a second thread of LightGBM waits for the services more than it works.
            "TRAINING_THREADS": "1",
            "ALERT_POLICY": config.root / "deploy" / "alerts.yaml",
        }
        if self.simulates_weixin:
            derived["WEIXIN_BASE_URL"] = f"http://127.0.0.1:{ports.simulator}"
        return {name: str(value) for name, value in (derived | self._airflow()).items()}

    def _airflow(self) -> dict[str, Any]:
        config, port = self._config, self._config.ports.airflow
        return {
            "AIRFLOW_HOME": config.run / "airflow",
            "AIRFLOW__CORE__DAGS_FOLDER": config.root / "airflow" / "dags",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "15",
            # No login: it listens on loopback alone.
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.postgres.url("airflow"),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": port,
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }


def read(path: Path) -> dict[str, str]:
    """Return the variables of an environment file; an absent one holds none."""
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}
