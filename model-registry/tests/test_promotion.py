"""Comparing two versions, naming the better one champion, and copying it to another registry."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from evaluated_versions import EvaluatedVersions, base_part, part_of
from pydantic import SecretStr

from contracts.checksums import sha256_of
from contracts.command_line import OK, REFUSED, USAGE
from contracts.registry.client import RegistryClient
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from ranking.evaluation import EvaluationPart
from ranking.testing import tiny_archive
from refresh_bundles import pushed as pushed_refresh
from registryctl import cli
from running_registry import RunningRegistry
from testkit.fake_registry import FakeRegistry

TOKEN = "the-registry-token"
OTHER_TOKEN = "token-of-production"
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def queries() -> EvaluationPart:
    return base_part(500)


@pytest.fixture
def production(tmp_path: Path, sandbox: Sandbox) -> Iterator[RunningRegistry]:
    """Another registry, with another token."""
    settings = Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/production.db"),
        artifact_url=str(tmp_path / "production"),
        registry_token=SecretStr(OTHER_TOKEN),
    )
    with RunningRegistry(settings, sandbox) as running:
        yield running


@pytest.fixture
def run(registry: RunningRegistry, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*arguments: str) -> tuple[int, str]:
        code = cli.main(["--url", registry.url, "--token", TOKEN, *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run_command


def test_two_versions_are_compared_on_the_same_queries(
    registry: RunningRegistry, tmp_path: Path, queries: EvaluationPart, run: Run
) -> None:
    versions = EvaluatedVersions(registry, tmp_path)
    good, bad, unknown = versions.push(queries), versions.push(queries, share=0.4), versions.push(None)
    registry.http.put("/models/ranker/aliases/candidate", json={"version": bad}).raise_for_status()
    answer = registry.http.get("/models/ranker/comparisons", params={"first": good, "second": "candidate"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["first"], found["second"], found["queries"], found["verdict"]) == (good, bad, 500, "worse")
    assert found["low"] <= found["difference"] <= found["high"] < 0
    code, text = run("compare", "candidate", good)
    assert (code, text.splitlines()[-1]) == (OK, f"version {good}: better")
    code, text = run("compare", good, unknown)
    assert (code, "has no evaluation part" in text) == (REFUSED, True)
    refresh = pushed_refresh(registry, tmp_path, good, seed=90)
    assert f"compare version {good}" in run("compare", good, refresh)[1]


def test_the_candidate_becomes_champion_when_it_is_deployed(
    registry: RunningRegistry, tmp_path: Path, run: Run
) -> None:
    first, worse = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2, ndcg=0.1)
    for version, code in ((first, OK), (worse, REFUSED)):
        run("alias", "set", "candidate", version)
        assert run("promote", "--reason", "nightly")[0] == code
    # The gate has rejected the second one.
    aliases = registry.http.get("/models/ranker/aliases").json()["aliases"]
    assert {each["alias"]: each["version"] for each in aliases} == {"candidate": worse, "champion": first}
    assert registry.active() == first


def test_a_version_is_copied_to_another_registry_by_its_checksum(
    registry: RunningRegistry, production: RunningRegistry, tmp_path: Path, queries: EvaluationPart, run: Run
) -> None:
    production.push_new(tmp_path, seed=99)
    versions = EvaluatedVersions(registry, tmp_path)
    version = versions.push(queries)
    part, other = tmp_path / "run-1.zip", versions.write(part_of("run-2", queries))
    to = ("promote", version, "--to", production.url, "--to-token", OTHER_TOKEN)
    assert run("promote", version, "--to", production.url)[0] == USAGE
    code, text = run(*to, "--evaluation", str(other))
    assert (code, "not the part of version" in text) == (USAGE, True)
    code, text = run(*to, "--deploy", "--evaluation", str(part))
    assert (code, text.splitlines()[-1]) == (OK, "champion points to it")
    assert (production.active(), registry.http.get("/models/ranker/active").status_code) == ("2", 404)
    copied, original = (
        each.http.get(f"/models/ranker/versions/{number}").json()
        for each, number in ((production, "champion"), (registry, version))
    )
    assert (copied["sha256"], copied["evaluation"]) == (original["sha256"], original["evaluation"])
    # The same step again changes nothing.
    assert "is version 2 of" in run(*to)[1]
    assert OTHER_TOKEN not in text


def test_the_evaluation_part_is_taken_along_if_the_token_may_read_it(
    registry: RunningRegistry, production: RunningRegistry, tmp_path: Path, queries: EvaluationPart, run: Run
) -> None:
    version = EvaluatedVersions(registry, tmp_path).push(queries)
    secret = registry.http.post("/tokens", json={"name": "auditor", "role": "reader"}).json()["token"]
    to = ("promote", version, "--to", production.url, "--to-token", OTHER_TOKEN)
    code, text = run("--token", secret, *to)
    assert (code, "without its evaluation part (403: auditor has the role reader" in text) == (OK, True)
    path = f"/models/ranker/versions/{version}"
    assert production.http.get(f"{path}").json()["evaluation"] is None
    assert run(*to) == (OK, f"ranker {version} is version 1 of {production.url}\n")
    copied, original = (each.http.get(f"{path}/evaluation") for each in (production, registry))
    assert (copied.content, copied.headers["content-type"]) == (original.content, "application/zip")
    assert copied.content == (tmp_path / "run-1.zip").read_bytes()
    without = registry.push_new(tmp_path, seed=7)
    assert registry.http.get(f"/models/ranker/versions/{without}/evaluation").status_code == 404
    assert run("promote", without, *to[2:]) == (OK, f"ranker {without} is version 2 of {production.url}\n")


def test_a_refresh_is_not_copied_and_an_earlier_registry_has_no_aliases(
    registry: RunningRegistry, tmp_path: Path, run: Run
) -> None:
    trained = registry.push_new(tmp_path, seed=1)
    refresh = pushed_refresh(registry, tmp_path, trained, seed=2)
    assert "promote that version" in run("promote", refresh, "--to", "http://127.0.0.1:9")[1]
    earlier = FakeRegistry()
    earlier.start()
    code, text = run("promote", trained, "--to", earlier.url, "--deploy")
    earlier.stop()
    assert (code, text.splitlines()[-1]) == (OK, "this registry has no aliases")


def test_a_large_bundle_is_downloaded_part_by_part(registry: RunningRegistry, tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "a.tar.gz")
    registry.push(archive).raise_for_status()
    client = RegistryClient(registry.http.request, "ranker")
    client.download("1", tmp_path / "copy", part_bytes=archive.stat().st_size // 3)
    assert sha256_of(tmp_path / "copy") == sha256_of(archive)
