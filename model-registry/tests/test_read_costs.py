"""What a read costs does not depend on how much is stored; `make prove ONLY=registry-size` measures it at full size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, event

from contracts.registry.client import RegistryClient
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from model_registry.tables import SCHEMA
from prove.registry_size import HEALTH, READS, Size, fill
from ranking.testing import tiny_archive
from running_registry import RunningRegistry

TOKEN = "the-registry-token"
SMALL, LARGE = Size(100, 100), Size(500, 500)
# Instructions of SQLite's machine: it runs some for each row and each page of the file that it reads.
_EVERY = 10


class ReadSteps:
    """Counts the steps of all connections that are opened while it is installed."""

    def __init__(self) -> None:
        self.steps = 0

    def watch(self, connection: object, _record: object) -> None:
        def count() -> int:
            self.steps += _EVERY
            return 0

        connection.set_progress_handler(count, _EVERY)  # type: ignore[attr-defined]  # SQLite's driver


@contextmanager
def counted_steps() -> Iterator[ReadSteps]:
    steps = ReadSteps()
    event.listen(Engine, "connect", steps.watch)
    yield steps
    event.remove(Engine, "connect", steps.watch)


@contextmanager
def filled(folder: Path, sandbox: Sandbox, size: Size) -> Iterator[RunningRegistry]:
    folder.mkdir()
    settings = Settings(
        database_url=SecretStr(f"sqlite:///{folder}/recsys.db"),
        artifact_url=str(folder / "artifacts"),
        registry_token=SecretStr(TOKEN),
    )
    with RunningRegistry(settings, sandbox) as running:
        running.push(tiny_archive(folder / "1.tar.gz")).raise_for_status()
        running.deploy("1").raise_for_status()
        engine = create_engine(f"sqlite:///{folder}/recsys.db.{SCHEMA}").execution_options(
            schema_translate_map={SCHEMA: None}
        )
        fill(engine, size)
        engine.dispose()
        yield running


def costs(running: RunningRegistry, steps: ReadSteps) -> dict[str, tuple[int, int]]:
    """Return the steps of the database and the bytes of the answer of each read: the least of a few calls.

    The registry's loops read meanwhile.
    """
    found = {}
    for path in (HEALTH, *READS):
        calls = []
        for _ in range(5):
            before = steps.steps
            answer = running.http.get(path)
            calls.append((steps.steps - before, len(answer.raise_for_status().content)))
        found[path] = min(calls)
    return found


def test_a_read_reads_as_much_of_many_versions_as_of_a_hundred(tmp_path: Path, sandbox: Sandbox) -> None:
    with counted_steps() as steps:
        with filled(tmp_path / "small", sandbox, SMALL) as running:
            small = costs(running, steps)
        with filled(tmp_path / "large", sandbox, LARGE) as running:
            large = costs(running, steps)
    for path in READS:
        for kind, most, found in zip(("steps", "bytes"), small[path], large[path], strict=True):
            assert found <= 1.2 * most + 100, f"{path}: {kind}"


def test_all_versions_are_listed_page_by_page(tmp_path: Path, sandbox: Sandbox) -> None:
    with filled(tmp_path / "registry", sandbox, Size(120, 120)) as running:
        listed = RegistryClient(running.http.request, "ranker").versions()
        assert [int(each.version) for each in listed.versions] == list(range(120, 0, -1))
        page = running.http.get("/models/ranker/deployments", params={"limit": 70}).json()
        rest = running.http.get(
            "/models/ranker/deployments", params={"limit": 70, "before": page["next_before"]}
        ).json()
        ids = [int(each["deployment_id"]) for each in page["deployments"] + rest["deployments"]]
        assert (ids, rest["next_before"]) == (list(range(120, 0, -1)), None)


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "before=0", "before=x", "limit=10&limit=10"])
def test_a_page_that_cannot_be_is_rejected(registry: RunningRegistry, query: str) -> None:
    assert registry.http.get(f"/models/ranker?{query}").status_code == 422
