"""Aliases, tags, descriptions, lineage and search."""

from pathlib import Path
from threading import Thread

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, delete, text, update

from contracts.bundle import BundleManifest, pack, read_manifest, write_manifest
from contracts.checksums import sha256_of
from contracts.model_versions import VersionDetail
from model_registry.database import Database
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from model_registry.tables import SCHEMA, version_facts, versions
from model_registry.versions.facts import MissingFacts
from ranking.testing import tiny_archive, tiny_bundle
from registryctl import cli
from running_registry import RunningRegistry
from servicekit.database import open_database

TOKEN = "the-registry-token"
# What these check is above the database.
_ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def set_alias(registry: RunningRegistry, alias: str, version: str, **more: str) -> httpx.Response:
    return registry.http.put(f"/models/ranker/aliases/{alias}", json={"version": version, **more})


def found(registry: RunningRegistry, **query: str | list[str]) -> list[str]:
    answer = registry.http.get("/models/ranker/versions", params=query)
    assert answer.status_code == 200, answer.text
    return [each["version"] for each in answer.json()["versions"]]


def push_trained(registry: RunningRegistry, folder: Path, *, until: str, commit: str) -> str:
    """Push a bundle whose manifest says until when it was trained, by which code and with which parameters."""
    made = tiny_bundle(folder / commit)
    manifest = read_manifest(made).model_dump() | {
        "trained_until": until,
        "git_commit": commit,
        "config": {"ranker": {"trees": 10}},
        "version": f"run-{commit}-abc",
    }
    write_manifest(made, BundleManifest.model_validate(manifest))
    pack(made, folder / f"{commit}.tar.gz")
    pushed = registry.push(folder / f"{commit}.tar.gz")
    assert pushed.status_code == 201, pushed.text
    return str(pushed.json()["version"])


def test_an_alias_names_a_version_wherever_one_is_named(registry: RunningRegistry, tmp_path: Path) -> None:
    first, second = (registry.push_new(tmp_path, seed=seed) for seed in (1, 2))
    assert set_alias(registry, "candidate", first).json()["version"] == first
    assert registry.deploy("candidate").json()["version"] == first
    assert set_alias(registry, "champion", "candidate").json()["version"] == first
    assert set_alias(registry, "candidate", second).json()["set_by"] == "REGISTRY_TOKEN"
    detail = registry.http.get("/models/ranker/versions/candidate").json()
    assert (detail["version"], detail["aliases"]) == (second, ["candidate"])
    bundle = registry.http.get("/models/ranker/versions/champion/bundle")
    assert bundle.headers["X-Bundle-SHA256"] == sha256_of(tmp_path / "1.tar.gz")
    assert registry.deploy("candidate", mode="shadow").json()["version"] == second
    # History and what replicas read have numbers: what was deployed doesn't change when the alias does.
    assert registry.active() == first
    listed = registry.http.get("/models/ranker/aliases").json()["aliases"]
    assert [(each["alias"], each["version"]) for each in listed] == [("candidate", second), ("champion", first)]


@_ON_SQLITE
def test_an_alias_moves_only_from_where_the_caller_says(registry: RunningRegistry, tmp_path: Path) -> None:
    first, second = (registry.push_new(tmp_path, seed=seed) for seed in (1, 2))
    assert set_alias(registry, "champion", first, expected=second).status_code == 409
    assert set_alias(registry, "champion", first).status_code == 200
    refused = set_alias(registry, "champion", second, expected=second)
    assert (refused.status_code, "points to 1" in refused.json()["detail"]) == (409, True)
    assert set_alias(registry, "champion", second, expected=first).json()["version"] == second
    assert set_alias(registry, "champion", "9").status_code == 404
    assert set_alias(registry, "7", second).status_code == 422
    assert registry.http.delete("/models/ranker/aliases/champion").status_code == 204
    assert registry.http.delete("/models/ranker/aliases/champion").status_code == 404
    assert registry.deploy("champion").status_code == 404


@_ON_SQLITE
def test_tags_and_description_change_one_by_one_and_are_recorded(registry: RunningRegistry, tmp_path: Path) -> None:
    registry.push_new(tmp_path, seed=1)
    path = "/models/ranker/versions/1"
    registry.http.patch(path, json={"tags": {"team": "search", "stage": "test"}, "description": "Neue Merkmale"})
    changed = registry.http.patch(path, json={"tags": {"stage": None, "a/b": "张伟"}, "reason": "tidy up"}).json()
    assert (changed["tags"], changed["description"]) == ({"a/b": "张伟", "team": "search"}, "Neue Merkmale")
    assert registry.http.patch(path, json={"description": None}).json()["description"] is None
    assert registry.http.patch(path, json={"reason": "nothing"}).status_code == 422
    assert registry.http.patch(path, json={"tags": {"a:b": "x"}}).status_code == 422
    many = {f"key-{number}": "x" for number in range(49)}
    assert registry.http.patch(path, json={"tags": many}).status_code == 409
    assert registry.http.get(path).json()["tags"] == changed["tags"]
    set_alias(registry, "champion", "1", reason="passed the canary")
    entries = registry.http.get("/audit").json()["entries"]
    assert [(each["action"], each["target"], each["reason"]) for each in entries[:1]] == [
        ("PUT /models/{name}/aliases/{alias}", "/models/ranker/aliases/champion", "passed the canary")
    ]
    assert "tidy up" in [each["reason"] for each in entries]


@_ON_SQLITE
def test_lineage_is_read_from_the_manifest(registry: RunningRegistry, tmp_path: Path) -> None:
    version = push_trained(registry, tmp_path, until="2026-11-20T00:00:00Z", commit="0123abc")
    detail = VersionDetail.model_validate(registry.http.get(f"/models/ranker/versions/{version}").json())
    assert detail.lineage is not None
    assert (detail.lineage.run, detail.lineage.git_commit) == ("run-0123abc-abc", "0123abc")
    assert detail.lineage.parameters == {"ranker": {"trees": 10}}
    assert (detail.lineage.pushed_by, detail.lineage.data_window["interactions"] > 0) == ("REGISTRY_TOKEN", True)
    assert detail.lineage.trained_until is not None


def test_a_search_finds_what_fits_to_all_of_it(registry: RunningRegistry, tmp_path: Path) -> None:
    days = ("2026-11-18", "2026-11-20", "2026-11-22")
    for day, commit in zip(days, ("aaa", "bbb", "ccc"), strict=True):
        push_trained(registry, tmp_path, until=f"{day}T00:00:00Z", commit=commit)
    for version, team in (("1", "search"), ("2", "ads"), ("3", "search")):
        registry.http.patch(f"/models/ranker/versions/{version}", json={"tags": {"team": team}})
    registry.http.patch("/models/ranker/versions/2", json={"description": "100% of Müller's data"})
    set_alias(registry, "champion", "3")
    assert found(registry) == ["3", "2", "1"]
    assert found(registry, tag="team:search") == ["3", "1"]
    assert found(registry, tag=["team", "team:ads"]) == ["2"]
    assert found(registry, alias="champion") == ["3"]
    assert found(registry, trained_after="2026-11-19T00:00:00Z") == ["3", "2"]
    assert found(registry, trained_after="2026-11-19T00:00:00Z", tag="team:search") == ["3"]
    assert (found(registry, q="BBB"), found(registry, q="100% of MÜLLER"), found(registry, q="1%")) == (
        ["2"],
        ["2"],
        [],
    )
    page = registry.http.get("/models/ranker/versions", params={"limit": 2}).json()
    assert found(registry, before=page["next_before"]) == ["1"]
    assert registry.http.get("/models/other/versions").status_code == 404
    assert registry.http.get("/models/ranker/versions", params={"trained_after": "yesterday"}).status_code == 422


@_ON_SQLITE
def test_labels_are_changed_and_shown_on_the_command_line(
    registry: RunningRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        assert cli.main(["--url", registry.url, "--token", TOKEN, "--by", "张伟", *arguments]) == cli.OK
        return capsys.readouterr().out

    registry.push(tiny_archive(tmp_path / "a.tar.gz"))
    assert run("alias", "set", "candidate", "1", "--reason", "nightly") == "candidate points to ranker 1\n"
    assert "candidate" in run("alias", "list")
    assert "team=search" in run("tag", "candidate", "team=search", "--description", "new features")
    assert "张伟" in run("alias", "list")
    assert "1  " in run("search", "features", "--tag", "team:search")
    assert run("search", "nowhere") == "no version of ranker fits\n"
    shown = run("describe", "candidate")
    assert all(each in shown for each in ("aliases        candidate", "tag            team=search", "interactions"))
    assert run("deploy", "candidate") == "ranker 1 is in service as primary\n"
    run("tag", "1", "--remove", "team", "--description", "")
    assert "team" not in run("describe", "1")
    run("alias", "remove", "candidate")
    assert cli.main(["--url", registry.url, "--token", TOKEN, "tag", "1"]) == cli.USAGE


def test_an_aliased_version_is_kept_by_retention(database_url: str, tmp_path: Path, sandbox: Sandbox) -> None:
    settings = Settings(
        database_url=SecretStr(database_url),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
        bundle_retention_trained=1,
    )
    with RunningRegistry(settings, sandbox) as running:
        for seed in (1, 2, 3):
            running.push_new(tmp_path, seed=seed)
        set_alias(running, "candidate", "1")
        report = running.http.post("/models/ranker/retention", json={"dry_run": False}).json()
        assert [each["version"] for each in report["removed"]] == ["2"]
        assert {each["version"]: each["reasons"] for each in report["kept"]} == {"3": ["last_trained"], "1": ["alias"]}
        assert set_alias(running, "champion", "2").status_code == 409


def settings_of(database_url: str, folder: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        artifact_url=str(folder / "artifacts"),
        registry_token=SecretStr(TOKEN),
    )


def test_versions_of_an_earlier_release_are_found_after_the_migration(
    database_url: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    settings = settings_of(database_url, tmp_path)
    with RunningRegistry(settings, sandbox) as running:
        push_trained(running, tmp_path, until="2026-11-20T00:00:00Z", commit="bbb")
    _migrate_back(database_url)
    with RunningRegistry(settings, sandbox) as running:
        assert found(running, q="bbb", trained_after="2026-11-19T00:00:00Z") == ["1"]
        assert found(running, trained_after="2026-11-21T00:00:00Z") == []
        assert running.http.get("/models/ranker/versions/1").json()["lineage"]["pushed_by"] is None


def test_versions_that_an_earlier_registry_takes_in_meanwhile_are_found_after_the_next_look(
    database_url: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    settings = settings_of(database_url, tmp_path)
    with RunningRegistry(settings, sandbox) as running:
        push_trained(running, tmp_path, until="2026-11-20T00:00:00Z", commit="bbb")
        push_trained(running, tmp_path, until="2026-11-21T00:00:00Z", commit="ccc")
        push_trained(running, tmp_path, until="2026-11-21T00:00:00Z", commit="ddd")
        running.http.patch("/models/ranker/versions/2", json={"description": "stays"}).raise_for_status()
    engine = open_database(database_url, SCHEMA)
    with engine.begin() as connection:
        # That one writes the version alone.
        connection.execute(delete(version_facts).where(version_facts.c.version != 2))
        # One whose manifest can't be read stops no other.
        connection.execute(update(versions).where(versions.c.version == 1).values(manifest={}))
    database = Database(engine)
    added = [Thread(target=MissingFacts(database).add) for _ in range(2)]
    for each in added:
        each.start()
    for each in added:
        each.join()
    database.close()
    with RunningRegistry(settings, sandbox) as running:
        assert found(running, trained_after="2026-11-19T00:00:00Z") == ["3", "2"]
        assert (found(running, q="DDD"), found(running, q="stays")) == (["3"], ["2"])


def _migrate_back(database_url: str) -> None:
    is_file = database_url.startswith("sqlite")
    engine, schema = (
        create_engine(f"{database_url}.registry" if is_file else database_url),
        "" if is_file else "registry.",
    )
    with engine.begin() as connection:
        for table in ("webhook_deliveries", "webhooks", "aliases", "version_tags", "version_facts"):
            connection.execute(text(f"DROP TABLE {schema}{table}"))
        connection.execute(text(f"DROP INDEX {schema}deployments_newest"))
        connection.execute(text(f"UPDATE {schema}alembic_version SET version_num = '0008'"))
    engine.dispose()
