"""Workers follow a switch in seconds, and waiters don't hold up others; `make prove ONLY=convergence` measures both."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

import model_registry.app
import model_registry.settings
import recommender_api.app
import recommender_api.settings
from contracts.deployments import DeploymentRequest
from contracts.registry.client import RegistryClient
from prove.convergence import WORKERS, cost_of_waiters, follow_switches
from ranking.testing import Size, tiny_archive
from servicekit.http_protocol import HttpProtocol
from testkit.running_app import RunningApp

TOKEN = "the-registry-token"
SIZE = Size(datasets=60)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[httpx.Client]:
    settings = model_registry.settings.Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        RunningApp(model_registry.app.create_app(settings), HttpProtocol) as running,
        httpx.Client(base_url=running.url, headers=headers, timeout=120) as http,
    ):
        yield http


def test_all_workers_answer_with_a_switch_at_once_though_many_others_wait(
    registry: httpx.Client, redis_url: str, tmp_path: Path
) -> None:
    client = RegistryClient(registry.request, "ranker")
    archives = [tiny_archive(tmp_path / f"{seed}.tar.gz", seed=seed, size=SIZE) for seed in (1, 2, 3)]
    versions = [client.push(archive).version for archive in archives]
    client.deploy(DeploymentRequest(version=versions[0]))
    with ExitStack() as stack:
        urls = []
        for number in range(WORKERS):
            settings = recommender_api.settings.Settings(
                redis_url=redis_url,
                registry_url=str(registry.base_url),
                registry_token=SecretStr(TOKEN),
                model_cache_dir=tmp_path / f"models-{number}",
                event_journal_dir=tmp_path / f"journal-{number}",
                replica_id=f"worker-{number}",
            )
            app = recommender_api.app.create_app(settings)
            urls.append(stack.enter_context(RunningApp(app, HttpProtocol)).url)
        took = follow_switches(client, versions, urls)
        # Loading takes its time on a busy machine. A poll each second would add half a second to most of them.
        assert max(map(max, took.values())) < 15
        assert {each.replica_id for each in client.history().replicas} == {f"worker-{n}" for n in range(WORKERS)}
    alone, besides = cost_of_waiters(registry, 100)
    assert besides < 5 * alone + 0.05
