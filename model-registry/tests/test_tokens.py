"""Named tokens: what each opens, how long, and that no secret is kept."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from contracts.command_line import REFUSED
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from ranking.testing import tiny_archive
from registryctl import cli
from running_registry import RunningRegistry
from servicekit.tokens import MAX_AGE, Caller, KnownToken, Tokens, digest_of

TOKEN = "the-registry-token"
Ctl = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ctl(registry: RunningRegistry, capsys: pytest.CaptureFixture[str]) -> Ctl:
    """Run registryctl; return its exit code and what it printed."""

    def run(*arguments: str, token: str = TOKEN) -> tuple[int, str, str]:
        code = cli.main(["--url", registry.url, "--token", token, *arguments])
        return code, *capsys.readouterr()

    return run


def test_a_token_does_what_its_role_and_its_models_allow(ctl: Ctl, registry: RunningRegistry, tmp_path: Path) -> None:
    archive = str(tiny_archive(tmp_path / "1.tar.gz", seed=1))
    code, printed, _ = ctl("tokens", "create", "ci-main", "--role", "ci", "--only", "ranker", "--json")
    made = json.loads(printed)
    assert (code, made["role"], made["models"], len(made["token"])) == (cli.OK, "ci", ["ranker"], 64)
    assert ctl("push", archive, "--deploy", token=made["token"])[0] == cli.OK
    other = ctl("--model", "other", "status", token=made["token"])
    retention = ctl("retention", "--apply", token=made["token"])
    tokens = ctl("tokens", "list", token=made["token"])
    assert (other[0], retention[0], tokens[0]) == (cli.OK, cli.USAGE, cli.USAGE)
    assert "403: ci-main has the role ci; this needs the role admin" in retention[2]
    pushed = httpx.post(f"{registry.url}/models/other/versions", headers=bearer(made["token"]))
    assert (pushed.status_code, pushed.json()["detail"]) == (403, "ci-main opens only the models ranker.")


def test_a_replica_reports_only_as_the_ids_of_its_token(ctl: Ctl, registry: RunningRegistry) -> None:
    said = ctl("tokens", "create", "api-one", "--role", "replica", "--replica", "api-1", "--replica", "eu/*")[1]
    rotated = ctl("tokens", "rotate", "api-one")[1]
    for secret in (said.splitlines()[-1], rotated.splitlines()[-1]):
        answers = {
            replica: registry.http.put(
                f"/models/ranker/replicas/{quote(replica, safe='')}",
                json={"version": "1", "state": "serving", "since": "2026-01-01T00:00:00Z"},
                headers=bearer(secret),
            )
            for replica in ("api-1", "api-10", "api-2", "eu*", "*")
        }
        assert {name: answer.status_code for name, answer in answers.items()} == {
            "api-1": 204,
            **dict.fromkeys(("api-10", "api-2", "eu*", "*"), 403),
        }
        assert answers["api-2"].json()["detail"] == "api-one reports only as api-1, eu/*."
        assert registry.http.get("/models/ranker/active", headers=bearer(secret)).status_code == 404
    assert "all models as api-1,eu/*" in ctl("tokens", "list")[1]
    assert ctl("tokens", "create", "ci-main", "--role", "ci", "--replica", "api-1")[0] == cli.USAGE
    for pattern in ("a*c", " api-1"):
        assert ctl("tokens", "create", "never", "--role", "replica", "--replica", pattern)[0] == cli.USAGE


@pytest.mark.parametrize(
    ("replicas", "replica_id", "may"),
    [
        (None, "api-1", True),
        (["api-1"], "api-1", True),
        (["api-1"], "api-10", False),
        (["api-*"], "api-10", True),
        (["api-*"], "ap", False),
        (["*"], "api-1", True),
        (["a*c"], "abc", False),
    ],
)
def test_an_id_is_named_in_full_or_by_its_beginning(replicas: list[str] | None, replica_id: str, may: bool) -> None:
    bound = None if replicas is None else frozenset(replicas)
    assert Caller("api", "replica", replicas=bound).is_replica(replica_id) is may


def test_a_secret_is_shown_once_and_kept_as_its_digest(ctl: Ctl, database_url: str, tmp_path: Path) -> None:
    secret = ctl("tokens", "create", "li.wei", "--role", "admin", "--days", "30")[1].splitlines()[-1]
    assert bytes.fromhex(secret)
    assert secret not in ctl("tokens", "list", "--json")[1]
    table = "tokens" if database_url.startswith("sqlite") else "registry.tokens"
    address = f"sqlite:///{tmp_path}/recsys.db.registry" if database_url.startswith("sqlite") else database_url
    engine = create_engine(address)
    with engine.connect() as connection:
        (row,) = connection.execute(text(f"SELECT * FROM {table}")).mappings()
    engine.dispose()
    assert row["sha256"] == digest_of(secret.encode()).hex()
    assert secret not in str(dict(row))
    assert row["created_by"] == "REGISTRY_TOKEN"


def test_after_a_rotation_both_secrets_are_valid_and_a_revocation_ends_both(ctl: Ctl) -> None:
    first = ctl("tokens", "create", "watch", "--role", "admin")[1].splitlines()[-1]
    second = ctl("tokens", "rotate", "watch", "--overlap-hours", "1")[1].splitlines()[-1]
    assert [ctl("tokens", "list", token=each)[0] for each in (first, second)] == [cli.OK, cli.OK]
    third = ctl("tokens", "rotate", "watch", "--overlap-hours", "0", token=second)[1].splitlines()[-1]
    valid = [ctl("tokens", "list", token=each)[0] == cli.OK for each in (first, second, third)]
    assert valid == [False, False, True]
    assert ctl("tokens", "create", "watch", "--role", "reader")[0] == REFUSED
    assert ctl("tokens", "revoke", "watch")[0] == cli.OK
    assert ctl("tokens", "list", token=third)[0] == cli.USAGE
    assert ctl("tokens", "revoke", "watch")[0] == cli.USAGE
    assert ctl("tokens", "create", "watch", "--role", "reader")[0] == cli.OK


def test_a_rotation_keeps_the_lifetime_unless_it_names_another(ctl: Ctl) -> None:
    def lifetime(*arguments: str) -> int | None:
        made = json.loads(ctl("tokens", *arguments, "--json")[1])
        created, expires = made["created_at"], made["expires_at"]
        return expires and (datetime.fromisoformat(expires) - datetime.fromisoformat(created)).days

    assert lifetime("create", "ci-main", "--role", "ci", "--days", "30") == 30
    # The overlap ends the earlier secret sooner; that is not the lifetime.
    assert [lifetime("rotate", "ci-main"), lifetime("rotate", "ci-main")] == [30, 30]
    assert [lifetime("rotate", "ci-main", "--days", "7"), lifetime("rotate", "ci-main")] == [7, 7]
    assert f"until {datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}" in ctl("tokens", "rotate", "ci-main")[1]
    assert [lifetime("create", "watch", "--role", "reader"), lifetime("rotate", "watch")] == [None, None]


def test_a_token_expires_at_its_moment_and_a_stale_list_opens_nothing() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    moment = [now]
    tokens = Tokens(KnownToken.of_setting("ADMIN_TOKEN", SecretStr("fixed"), "admin"), clock=lambda: moment[0])
    short = KnownToken(digest_of(b"short"), Caller("short", "ci"), now + timedelta(hours=1))
    tokens.replace_named([short, KnownToken(digest_of(b"long"), Caller("long", "reader"))])

    def known() -> list[str]:
        return [
            caller.name for each in (b"fixed", b"short", b"long", b"", b"other") for caller in tokens.identify(each)
        ]

    assert known() == ["ADMIN_TOKEN", "short", "long"]
    moment[0] = now + timedelta(hours=1)
    assert known() == ["ADMIN_TOKEN", "long"]
    moment[0] = now + MAX_AGE + timedelta(seconds=1)
    assert known() == ["ADMIN_TOKEN"]
    tokens.confirm_named()
    assert known() == ["ADMIN_TOKEN", "long"]


@pytest.fixture
def closed(tmp_path: Path, sandbox: Sandbox) -> Iterator[RunningRegistry]:
    """A registry as in production, with the tokens that `make up` makes."""
    settings = Settings(
        environment="production",
        database_url=SecretStr(f"sqlite:///{tmp_path}/closed.db"),
        artifact_url=str(tmp_path / "closed"),
        registry_token=SecretStr(TOKEN),
        registry_ci_token=SecretStr("of-ci"),
        registry_replica_token=SecretStr("of-replicas"),
        registry_read_token=SecretStr("of-readers"),
    )
    with RunningRegistry(settings, sandbox) as running:
        yield running


def test_in_production_reads_need_a_token_and_bundles_need_one_everywhere(
    closed: RunningRegistry, registry: RunningRegistry, tmp_path: Path
) -> None:
    for each in (closed, registry):
        each.deploy(each.push_new(tmp_path, seed=1)).raise_for_status()
    reads = ("/models", "/models/ranker", "/models/ranker/active", "/models/ranker/deployments")
    assert [httpx.get(closed.url + path).status_code for path in reads] == [401] * 4
    assert [httpx.get(registry.url + path).status_code for path in reads] == [200] * 4
    bundle = "/models/ranker/versions/1/bundle"
    assert [httpx.get(each.url + bundle).status_code for each in (closed, registry)] == [401, 401]
    as_replica = bearer("of-replicas")
    assert [httpx.get(closed.url + path, headers=as_replica).status_code for path in (*reads, bundle)] == [
        *(403, 403, 200, 403),
        200,
    ]


def test_the_log_has_who_and_why_of_each_change_and_the_history_names_the_token(
    ctl: Ctl, registry: RunningRegistry, tmp_path: Path
) -> None:
    """An author that the call names is in both; without one, the history of deployments has the token's name."""
    archive = str(tiny_archive(tmp_path / "1.tar.gz", seed=1))
    secret = ctl("tokens", "create", "ci-main", "--role", "ci", "--reason", "GitHub")[1].splitlines()[-1]
    assert ctl("push", archive, "--deploy", "--reason", "nightly", token=secret)[0] == cli.OK
    assert ctl("--by", "张伟", "deploy", "7", "--reason", "a slip", token=secret)[0] == cli.USAGE
    assert ctl("tokens", "revoke", "ci-main", "--reason", "left")[0] == cli.OK
    assert registry.http.put("/models/ranker/replicas/a", json={}).status_code == 422
    entries = json.loads(ctl("history", "--json")[1])["entries"]
    assert [(each["target"], each["status"], each["token"], each["by"], each["reason"]) for each in entries] == [
        ("/tokens/ci-main", 204, "REGISTRY_TOKEN", None, "left"),
        ("/models/ranker/deployments", 404, "ci-main", "张伟", "a slip"),
        ("/models/ranker/deployments", 201, "ci-main", None, "nightly"),
        ("/models/ranker/versions", 201, "ci-main", None, None),
        ("/tokens", 201, "REGISTRY_TOKEN", None, "GitHub"),
    ]
    deployments = registry.http.get("/models/ranker/deployments").json()["deployments"]
    assert [(each["deployed_by"], each["reason"]) for each in deployments] == [("ci-main", "nightly")]
    assert "张伟 (ci-main)" in ctl("history")[1]


def test_a_database_of_the_release_before_gets_the_new_tables_and_keeps_its_models(
    database_url: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    settings = Settings(
        database_url=SecretStr(database_url), artifact_url=str(tmp_path / "artifacts"), registry_token=SecretStr(TOKEN)
    )
    with RunningRegistry(settings, sandbox) as registry:
        registry.deploy(registry.push_new(tmp_path, seed=1)).raise_for_status()
    schema = "" if database_url.startswith("sqlite") else "registry."
    engine = create_engine(f"{database_url}.registry" if database_url.startswith("sqlite") else database_url)
    with engine.begin() as connection:
        for statement in (
            f"DROP TABLE {schema}tokens",
            f"DROP TABLE {schema}audit_log",
            f"UPDATE {schema}alembic_version SET version_num = '0004'",
        ):
            connection.execute(text(statement))
    engine.dispose()
    with RunningRegistry(settings, sandbox) as registry:
        assert registry.active() == "1"
        registry.http.post("/tokens", json={"name": "li.wei", "role": "reader"}).raise_for_status()
        (entry,) = registry.http.get("/audit").json()["entries"]
        assert (entry["token"], entry["target"], entry["status"]) == ("REGISTRY_TOKEN", "/tokens", 201)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
