import httpx
import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import create_engine, text

import monitoring.testing
from localservers.postgres import PostgresCluster
from localservers.waiting import wait_until
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from running_registry import RunningRegistry


def test_health_and_metrics_need_no_token(stranger: httpx.Client) -> None:
    health = stranger.get("/health").json()
    assert (health["status"], health["service"]) == ("healthy", "model-registry")
    assert "registry_uploads_total" in stranger.get("/metrics").text


def test_production_rejects_a_default_token() -> None:
    with pytest.raises(ValidationError, match="REGISTRY_TOKEN has its default value"):
        Settings(environment="production", database_url=SecretStr("postgresql+psycopg2://x/y"))


def test_a_lost_database_is_503_and_reported_and_the_service_recovers(
    postgres_server: PostgresCluster, postgres_url: str, tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox
) -> None:
    name = postgres_url.rpartition("/")[2]
    settings = Settings(database_url=SecretStr(postgres_url), artifact_url=str(tmp_path_factory.mktemp("artifacts")))
    server = create_engine(postgres_server.url("postgres"), isolation_level="AUTOCOMMIT")
    with RunningRegistry(settings, sandbox) as registry, server.connect() as operator:
        operator.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        operator.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        with monitoring.testing.captured() as reports:
            answer = registry.http.get("/models")
        assert answer.status_code == 503
        (report,) = reports.of("pipeline.database")
        assert report.fingerprint[:3] == ("database", "registry", "list_models")
        assert registry.http.get("/health").json()["status"] == "degraded"
        operator.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
        wait_until(
            lambda: registry.http.get("/health").json()["status"] == "healthy", within=60, what="the service recovers"
        )
    server.dispose()
