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
from testkit.otlp_receiver import OtlpReceiver
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

        wait_until(lambda: bool(there()), within=60, what=f"{name} of {service} is traced")
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
        settings = MonitoringSettings(sentry_dsn=collector.dsn, sentry_traces_sample_rate=1.0)
        _hand_over(settings, models, features, tmp_path)
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


def test_an_otlp_receiver_gets_one_trace_of_pipeline_registry_sync_and_api(
    shop: FaultLab, redis_url: str, tmp_path: Path
) -> None:
    with OtlpReceiver() as receiver:
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "REGISTRY_TOKEN": TOKEN, "ADMIN_TOKEN": TOKEN}
        registry = exporting | {"DATABASE_URL": f"sqlite:///{tmp_path}/r.db", "ARTIFACT_URL": str(tmp_path / "store")}
        events = exporting | {"DATABASE_URL": f"sqlite:///{tmp_path}/e.db", "REDIS_URL": redis_url}
        with shop.service("model_registry", registry) as models, shop.service("feature_sync", events) as features:
            _hand_over(MonitoringSettings(otel_exporter_otlp_endpoint=receiver.url), models, features, tmp_path)
            run = receiver.wait_for("pipeline", "pipeline run")
            deployment = receiver.wait_for("model-registry", "POST /models/{name}/deployments")
            step = receiver.wait_for("pipeline", "step deploy")
            assert (step.parent, deployment.parent) == (run.id, step.id)
            assert receiver.wait_for("model-registry", "deploy").parent == deployment.id
            assert receiver.wait_for("feature-sync", "sync snapshot").trace == run.trace == deployment.trace
            serving = exporting | {
                "REDIS_URL": redis_url,
                "REGISTRY_URL": str(models.http.base_url),
                "MODEL_CACHE_DIR": str(tmp_path / "models"),
                "EVENT_JOURNAL_DIR": str(tmp_path / "journal"),
                "REDIS_BUDGET_MS": "1000",
                "REQUEST_BUDGET_MS": "5000",
            }
            with shop.service("recommender_api", serving, ready="/ready") as api:
                fetched = receiver.wait_for("model-registry", "GET /models/{name}/versions/{version}/bundle")
                followed = receiver.wait_for("recommender-api", "deploy ranker 1")
                assert (fetched.trace, fetched.parent) == (followed.trace, followed.id)
                headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
                api.http.get("/recommend/detail/101?user_id=7654321", headers=headers).raise_for_status()
                answer = receiver.wait_for("recommender-api", "GET /recommend/detail/{dataset_id}")
    assert (answer.trace, answer.parent, answer.kind) == ("ab" * 16, "cd" * 8, "server")
    assert str(answer.attributes["request_id"]).startswith("1.")
    stages = {span.name for span in receiver.spans if span.parent == answer.id}
    assert stages == {"read", "recall", "rank"}
    assert not [span for span in receiver.spans if "/health" in span.name]
    assert b"7654321" not in b"".join(receiver.bodies)


def _hand_over(settings: MonitoringSettings, models: SideService, features: SideService, folder: Path) -> None:
    """Do the last steps of the pipeline, in a trace."""
    monitoring.init("pipeline", settings)
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
