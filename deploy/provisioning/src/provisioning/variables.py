"""The variables that follow from the places of a stack's parts, and the variables of each program."""

from collections.abc import Mapping

from provisioning.places import Places

DATABASES = ("recsys", "business", "airflow")
DATABASE_USER = "recsys"

_MONITORED = ("SENTRY_DSN", "GATEWAY_URL", "GATEWAY_PUBLIC_URL", "GATEWAY_TOKEN", "SPOOL_DIR")
_PIPELINE = (
    *_MONITORED,
    "BUSINESS_DATABASE_URL",
    "DATABASE_URL",
    "REDIS_URL",
    "ARTIFACT_URL",
    "REGISTRY_URL",
    "REGISTRY_CI_TOKEN",
    "FEATURE_SYNC_URL",
    "ADMIN_TOKEN",
)
# The generated and derived variables of each program; the others are for the user to set.
READ_BY: Mapping[str, tuple[str, ...]] = {
    "recommender-api": (
        *_MONITORED,
        "REDIS_URL",
        "REGISTRY_URL",
        "REGISTRY_REPLICA_TOKEN",
        "ADMIN_TOKEN",
        "EVENTS_TOKEN",
        "MODEL_CACHE_DIR",
        "EVENT_JOURNAL_DIR",
    ),
    "model-registry": (
        *_MONITORED,
        "DATABASE_URL",
        "ARTIFACT_URL",
        "FEATURE_SYNC_URL",
        "ADMIN_TOKEN",
        "REGISTRY_TOKEN",
        "REGISTRY_CI_TOKEN",
        "REGISTRY_READ_TOKEN",
        "REGISTRY_REPLICA_TOKEN",
    ),
    "feature-sync": (
        *_MONITORED,
        "REDIS_URL",
        "DATABASE_URL",
        "BUSINESS_DATABASE_URL",
        "ADMIN_TOKEN",
        "FORGET_SECRET",
        "REGISTRY_URL",
        "REGISTRY_READ_TOKEN",
    ),
    "notification-gateway": (
        *_MONITORED,
        "ENVIRONMENT",
        "DATABASE_URL",
        "ADMIN_TOKEN",
        "SENTRY_WEBHOOK_SECRET",
        "COLLECTOR_URL",
        "PROMETHEUS_URL",
        "REGISTRY_URL",
        "REGISTRY_READ_TOKEN",
        "FEATURE_SYNC_URL",
        "ALERT_POLICY",
    ),
    "airflow": (
        *_PIPELINE,
        "AIRFLOW_HOME",
        "AIRFLOW__CORE__DAGS_FOLDER",
        "AIRFLOW__CORE__LOAD_EXAMPLES",
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW__CORE__PARALLELISM",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__API__HOST",
        "AIRFLOW__API__PORT",
        "AIRFLOW__API__BASE_URL",
        "AIRFLOW__API__WORKERS",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED",
    ),
    "sentry": ("COLLECTOR_URL", "COLLECTOR_KEY", "COLLECTOR_TOKEN", "COLLECTOR_PASSWORD", "COLLECTOR_SECRET"),
}


def database_url(places: Places, generated: Mapping[str, str], database: str) -> str:
    """Return the SQLAlchemy URL of one of the stack's databases."""
    return f"postgresql+psycopg2://{DATABASE_USER}:{generated['POSTGRES_PASSWORD']}@{places.postgres}/{database}"


def derived(places: Places, generated: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that follow from the places and the generated values."""
    return {
        # The demo and a native stack override this.
        "ENVIRONMENT": "production",
        "SENTRY_DSN": f"http://{generated['COLLECTOR_KEY']}@{places.collector}/1",
        "COLLECTOR_URL": places.collector_page,
        "REDIS_URL": f"redis://{places.redis}/0",
        "DATABASE_URL": database_url(places, generated, "recsys"),
        "BUSINESS_DATABASE_URL": database_url(places, generated, "business"),
        "ARTIFACT_URL": str(places.artifacts),
        "REGISTRY_URL": f"http://{places.registry}",
        "FEATURE_SYNC_URL": f"http://{places.sync}",
        "GATEWAY_URL": f"http://{places.gateway}",
        "GATEWAY_PUBLIC_URL": places.gateway_page,
        "PROMETHEUS_URL": f"http://{places.prometheus}",
        "SPOOL_DIR": str(places.state / "spool"),
        "MODEL_CACHE_DIR": str(places.state / "model-cache"),
        "EVENT_JOURNAL_DIR": str(places.state / "event-journal"),
        "ALERT_POLICY": str(places.alert_policy),
        **_airflow(places, generated),
    }


def _airflow(places: Places, generated: Mapping[str, str]) -> dict[str, str]:
    host, _, port = places.airflow_listens_on.partition(":")
    return {
        "AIRFLOW_HOME": str(places.airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(places.dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "15",
        # Without login, because it is only published on loopback.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        # Otherwise tasks would call localhost:8080, whatever the server's port is.
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{places.airflow}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url(places, generated, "airflow"),
        "AIRFLOW__API__HOST": host,
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": places.airflow_page,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
