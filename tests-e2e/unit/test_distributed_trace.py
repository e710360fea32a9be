"""One trace spans the pipeline, registry and feature-sync; another one the recommender and the registry."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import monitoring
from contracts.snapshot import write_snapshot
from localservers.waiting import wait_until
from monitoring import MonitoringSettings
from pipeline.publish import deploy, push, sync_snapshot
from pipeline.sentry_utils import monitor_pipeline_step
from ranking.testing import tiny_archive
from testkit.fake_server import FakeServer
from verify.fault_lab import TOKEN, FaultLab, SideService
from verify.settings import Settings

Found = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def collector() -> Iterator[FakeServer]:
    """A collector that accepts transactions."""
    server = FakeServer()
    server.start()
    yield server
    monitoring.shutdown()
    server.stop()


@pytest.fixture
def found(collector: FakeServer) -> Found:
    """Return the transactions of a service whose names start with this prefix, once there are any."""

    def find(service: str, name: str) -> list[dict[str, Any]]:
        def there() -> list[dict[str, Any]]:
            return [
                each
                for each in list(collector.transactions)
                if each["tags"]["service"] == service and each["transaction"].startswith(name)
            ]

        wait_until(lambda: bool(there()), within=15, what=f"{name} of {service} is traced")
        return there()

    return find


@pytest.fixture
def shop(collector: FakeServer, tmp_path: Path) -> FaultLab:
    return FaultLab(tmp_path, "1", Settings(collector_url=collector.url, collector_token="-"), collector.dsn)


def trace_of(transaction: dict[str, Any]) -> str:
    return str(transaction["contexts"]["trace"]["trace_id"])


def spans_of(transaction: dict[str, Any]) -> set[str]:
    return {span["op"] for span in transaction["spans"]}


def test_traces_span_the_whole_stack(
    collector: FakeServer, found: Found, shop: FaultLab, redis_url: str, tmp_path: Path
) -> None:
    traced = {"SENTRY_TRACES_SAMPLE_RATE": "1", "REDIS_URL": redis_url, "REGISTRY_TOKEN": TOKEN, "ADMIN_TOKEN": TOKEN}
    registry = traced | {"DATABASE_URL": f"sqlite:///{tmp_path}/r.db", "ARTIFACT_URL": str(tmp_path / "artifacts")}
    events = traced | {"DATABASE_URL": f"sqlite:///{tmp_path}/e.db"}
    with shop.service("model_registry", registry) as models, shop.service("feature_sync", events) as features:
        _hand_over(collector, models, features, tmp_path)
        (run,) = found("pipeline", "run")
        assert [span["description"] for span in run["spans"] if span["op"] == "step"] == ["deploy", "sync"]
        (deployment,) = found("model-registry", "POST /models/{name}/deployments")
        assert trace_of(deployment) == trace_of(run)
        assert spans_of(deployment) == {"deploy"}
        (asked,) = found("feature-sync", "POST /sync")
        (job,) = found("feature-sync", "snapshot")
        assert trace_of(asked) == trace_of(job) == trace_of(run)
        assert job["contexts"]["trace"]["op"] == "sync"
        assert job["contexts"]["trace"]["parent_span_id"] == asked["contexts"]["trace"]["span_id"]

        serving = traced | {
            "REGISTRY_URL": str(models.http.base_url),
            "MODEL_CACHE_DIR": str(tmp_path / "models"),
            "EVENT_JOURNAL_DIR": str(tmp_path / "journal"),
            "REDIS_BUDGET_MS": "1000",
            "REQUEST_BUDGET_MS": "5000",
        }
        with shop.service("recommender_api", serving, ready="/ready") as api:
            (followed,) = found("recommender-api", "ranker")
            (fetched,) = found("model-registry", "GET /models/{name}/versions/{version}/bundle")
            assert followed["contexts"]["trace"]["op"] == "deploy"
            assert trace_of(fetched) == trace_of(followed)
            api.get("/similar/101")
            (answer,) = found("recommender-api", "GET /similar")
            assert spans_of(answer) == {"read", "recall", "rank"}
            assert answer["tags"]["request_id"].startswith("1.")
    assert not [each for each in collector.transactions if "health" in each["transaction"]]
    assert collector.events == []


def _hand_over(collector: FakeServer, models: SideService, features: SideService, folder: Path) -> None:
    """Do the last steps of the pipeline, in a trace."""
    monitoring.init("pipeline", MonitoringSettings(sentry_dsn=collector.dsn, sentry_traces_sample_rate=1.0))
    snapshot = folder / "snapshot"
    write_snapshot(snapshot, "1", datetime.now(UTC), [(7, b"features")])

    @monitor_pipeline_step("deploy")
    def deploy_step() -> None:
        url, token = str(models.http.base_url), SecretStr(TOKEN)
        deploy(url, token, "ranker", push(url, token, "ranker", tiny_archive(folder / "bundle.tar.gz")))

    @monitor_pipeline_step("sync")
    def sync_step() -> None:
        sync_snapshot(str(features.http.base_url), SecretStr(TOKEN), str(snapshot))

    with monitoring.transaction("pipeline", "run"):
        deploy_step()
        sync_step()
    monitoring.flush(5)
