"""The variables of a stack's programs: generated once, derived from the ports, or set by the user."""

from collections.abc import Mapping

from localservers.collector import Collector
from localservers.postgres import PostgresCluster
from native import prometheus
from native.config import StackConfig
from provisioning import environment_file
from provisioning.generated import (
    SIMULATED_WEIXIN,
    STACK,
    kept_or_made,
    simulated_email,
    simulated_weixin,
    simulates_email,
    simulates_weixin,
)
from provisioning.places import Places
from provisioning.variables import derived

# The variables by which a user may replace a part of the stack.
_OVERRIDABLE = (
    "ALERT_EMAIL_FROM",
    "ALERT_EMAIL_TO",
    "ALERT_LANGUAGE",
    "ALERT_POLICY",
    "APPRISE_URLS",
    "ARTIFACT_URL",
    "BUSINESS_DATABASE_URL",
    "DATASET_VECTORS",
    "ENVIRONMENT",
    "EXTRACTION_SQL",
    "GATEWAY_PUBLIC_URL",
    "HEARTBEAT_URL",
    "LOG_LEVEL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_TRACES_SAMPLER_ARG",
    "PIPELINE_CONFIG",
    "QUALITY_RULES",
    "REQUIRE_SIGNATURE",
    "SENTRY_BEFORE_SEND",
    "SENTRY_DSN",
    "SENTRY_ENVIRONMENT",
    "SENTRY_IGNORED_POINTS",
    "SENTRY_RELEASE",
    "SENTRY_SAMPLE_RATE",
    "SENTRY_TRACES_IGNORED",
    "SENTRY_TRACES_SAMPLE_RATE",
    "SIGNING_KEY",
    "SMTP_URL",
    "TIMEZONE",
    "TRUSTED_KEYS",
    "WEIXIN_BASE_URL",
    "WEIXIN_CORP_ID",
    "WEIXIN_CORP_SECRET",
    "WEIXIN_AGENT_ID",
    "WEIXIN_TO_USER",
    "WEIXIN_MENTION",
    "WEIXIN_MESSAGE_TYPE",
    "WEIXIN_ROBOT_KEY",
)


class StackEnvironment:
    """Reads and writes the environment file of a stack; generated values stay the same across starts."""

    def __init__(self, config: StackConfig, user: Mapping[str, str]) -> None:
        self._config = config
        self._given = {name: user[name] for name in _OVERRIDABLE if user.get(name)}
        self.simulates_weixin = config.demo and simulates_weixin(self._given)
        self.simulates_email = config.demo and simulates_email(self._given)
        makers = {**STACK, **SIMULATED_WEIXIN} if self.simulates_weixin else STACK
        self._generated = kept_or_made(environment_file.read(config.environment_file), makers)

    @property
    def postgres(self) -> PostgresCluster:
        """The stack's PostgreSQL."""
        return PostgresCluster(
            self._config.postgres_data, self._config.ports.postgres, self._generated["POSTGRES_PASSWORD"]
        )

    @property
    def collector(self) -> Collector:
        """The stack's collector."""
        return Collector(
            root=self._config.root,
            data=self._config.run / "collector",
            port=self._config.ports.collector,
            key=self._generated["COLLECTOR_KEY"],
            token=self._generated["COLLECTOR_TOKEN"],
            password=self._generated["COLLECTOR_PASSWORD"],
            secret=self._generated["COLLECTOR_SECRET"],
        )

    def variables(self) -> dict[str, str]:
        """Return all variables; the user's values take precedence over derived ones."""
        own = {
            "ENVIRONMENT": "development",
            "SENTRY_ENVIRONMENT": "development",
            # On two cores a second thread of LightGBM mostly waits for the services.
            "TRAINING_THREADS": "1",
        }
        if prometheus.program() is None:
            own["PROMETHEUS_URL"] = ""
        if self.simulates_weixin:
            own |= simulated_weixin(f"http://127.0.0.1:{self._config.ports.simulator}")
        if self.simulates_email:
            own |= simulated_email(f"smtp://127.0.0.1:{self._config.ports.mail}")
        return {**self._generated, **derived(self._places, self._generated), **own, **self._given}

    def write(self) -> None:
        """Write the environment file, readable only by its owner."""
        path = self._config.environment_file
        path.parent.mkdir(parents=True, exist_ok=True)
        environment_file.write(path, environment_file.render(self.variables()))

    @property
    def _places(self) -> Places:
        config, ports = self._config, self._config.ports

        def here(port: int) -> str:
            return f"127.0.0.1:{port}"

        return Places(
            redis=here(ports.redis),
            postgres=here(ports.postgres),
            collector=here(ports.collector),
            collector_page=f"http://{here(ports.collector)}",
            registry=here(ports.registry),
            sync=here(ports.sync),
            gateway=here(ports.gateway),
            gateway_page=f"http://{here(ports.gateway)}",
            airflow=here(ports.airflow),
            airflow_page=f"http://{here(ports.airflow)}",
            airflow_listens_on=here(ports.airflow),
            prometheus=here(ports.prometheus),
            artifacts=config.run / "artifacts",
            state=config.run,
            airflow_home=config.run / "airflow",
            dags=config.root / "airflow" / "dags",
            alert_policy=config.root / "deploy" / "alerts.yaml",
        )
