from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from model_registry.bundle_checks.service import WORK
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from running_registry import RunningRegistry

TOKEN = "the-registry-token"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One template for all registries of the tests: it takes seconds to warm up."""
    made = Sandbox(WORK)
    made.start()
    yield made
    made.close()


@pytest.fixture(params=["postgresql", "sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/recsys.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def registry(database_url: str, tmp_path: Path, sandbox: Sandbox) -> Iterator[RunningRegistry]:
    settings = Settings(
        database_url=SecretStr(database_url),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
        max_bundle_mb=8,
    )
    with RunningRegistry(settings, sandbox) as running:
        yield running


@pytest.fixture
def stranger(registry: RunningRegistry) -> Iterator[httpx.Client]:
    """A caller without a token."""
    with httpx.Client(base_url=registry.url) as client:
        yield client
