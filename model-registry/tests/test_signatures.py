"""Signed bundles: what the registry accepts at an upload and at a deployment."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

import monitoring.testing
from contracts.bundle_signatures import HEADER, BundleSignature
from contracts.checksums import sha256_of
from contracts.command_line import OK, REFUSED, USAGE
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from model_registry.tables import SCHEMA
from monitoring.testing import Captured
from ranking.testing import tiny_archive
from registryctl import cli
from running_registry import RunningRegistry
from servicekit.database import open_database
from testkit.signing_keys import SigningKey

TOKEN = "the-registry-token"
Open = Callable[..., AbstractContextManager[RunningRegistry]]


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    """The key that the registry trusts."""
    return SigningKey.new(tmp_path / "trusted")


@pytest.fixture
def unknown(tmp_path: Path) -> SigningKey:
    return SigningKey.new(tmp_path / "unknown")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
        max_bundle_mb=8,
    )


@pytest.fixture
def open_registry(settings: Settings, sandbox: Sandbox) -> Open:
    """Open the registry with further settings; its data stays."""

    @contextmanager
    def opened(**more: Any) -> Iterator[RunningRegistry]:
        with RunningRegistry(settings.model_copy(update=more), sandbox) as running:
            yield running

    return opened


@pytest.fixture
def reports() -> Iterator[Captured]:
    with monitoring.testing.captured() as captured:
        yield captured


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tiny_archive(tmp_path / "1.tar.gz", seed=1)


def _push(registry: RunningRegistry, archive: Path, signature: BundleSignature | None) -> httpx.Response:
    registry.http.headers.pop(HEADER, None)
    if signature is not None:
        registry.http.headers[HEADER] = signature.to_header()
    return registry.push(archive)


def _signature(registry: RunningRegistry, version: str) -> dict[str, str] | None:
    found: dict[str, str] | None = registry.http.get(f"/models/ranker/versions/{version}").json()["signature"]
    return found


def _run(registry: RunningRegistry, *arguments: str | Path) -> int:
    return cli.main(["--url", registry.url, "--token", TOKEN, *map(str, arguments)])


def test_a_signed_bundle_is_pushed_deployed_and_shown_with_its_key(
    open_registry: Open, key: SigningKey, archive: Path
) -> None:
    with open_registry(trusted_keys=key.public, require_signature=True) as registry:
        assert _run(registry, "push", archive, "--sign", key.private, "--deploy") == OK
        assert registry.active() == "1"
        shown = _signature(registry, "1")
        assert shown is not None
        assert BundleSignature(shown["key_id"], shown["signature"]) == key.sign("ranker", sha256_of(archive))
        assert shown["signed_at"]


@pytest.mark.parametrize("is_required", [False, True], ids=["optional", "required"])
def test_a_wrong_signature_is_rejected_and_nothing_is_stored(
    open_registry: Open, key: SigningKey, archive: Path, is_required: bool
) -> None:
    sha256 = sha256_of(archive)
    of_another_name, of_another_archive = key.sign("other", sha256), key.sign("ranker", "ab" * 32)
    with open_registry(trusted_keys=key.public, require_signature=is_required) as registry:
        for signature in (of_another_name, of_another_archive):
            rejected = _push(registry, archive, signature)
            assert (rejected.status_code, key.key_id in rejected.json()["detail"]) == (422, True)
        malformed = registry.http.headers
        malformed[HEADER] = "no signature"
        assert registry.push(archive).status_code == 422
        del malformed[HEADER]
        assert registry.http.get("/models").json() == []
        assert not list(Path(registry.settings.artifact_url).rglob("*.tar.gz"))


def test_what_no_trusted_key_has_signed_is_rejected_only_if_a_signature_is_required(
    open_registry: Open, key: SigningKey, unknown: SigningKey, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_unknown = unknown.sign("ranker", sha256_of(archive))
    with open_registry(trusted_keys=key.public, require_signature=True) as registry:
        unsigned = _push(registry, archive, None)
        assert (unsigned.status_code, "not signed" in unsigned.json()["detail"]) == (422, True)
        foreign = _push(registry, archive, by_unknown)
        assert (foreign.status_code, unknown.key_id in foreign.json()["detail"]) == (422, True)
        assert _run(registry, "push", archive) == REFUSED
        assert "REQUIRE_SIGNATURE" in capsys.readouterr().err
        assert registry.http.get("/models").json() == []
    with open_registry(trusted_keys=key.public) as registry:
        assert _push(registry, archive, by_unknown).status_code == 201
        shown = _signature(registry, "1")
        assert shown is not None
        assert shown["key_id"] == unknown.key_id
        assert registry.deploy("1").status_code == 201


def test_a_version_stored_unsigned_cannot_be_deployed_until_it_is_pushed_again_signed(
    open_registry: Open, key: SigningKey, archive: Path, tmp_path: Path, reports: Captured
) -> None:
    with open_registry() as registry:
        assert _push(registry, archive, None).status_code == 201
        assert _signature(registry, "1") is None
    second = tiny_archive(tmp_path / "2.tar.gz", seed=2)
    with open_registry(trusted_keys=key.public, require_signature=True) as registry:
        rejected = registry.deploy("1", force=True, reason="urgent")
        assert (rejected.status_code, "not signed" in rejected.json()["detail"]) == (409, True)
        assert registry.http.get("/models/ranker/active").status_code == 404
        (line,) = registry.http.get("/models/ranker/deployments").json()["deployments"]
        assert (line["state"], line["failed_stage"], line["reason"]) == ("failed", "signature", "urgent")
        assert line["detail"] == rejected.json()["detail"]
        assert reports.of("model.deployment_failed") == []
        assert _run(registry, "push", archive, "--sign", key.private, "--deploy") == OK
        assert registry.active() == "1"
        assert _run(registry, "push", second, "--sign", key.private, "--deploy") == OK
        assert _run(registry, "rollback") == OK
        assert registry.active() == "1"


def test_a_key_that_is_no_longer_trusted_opens_no_deployment_and_no_rollback(
    open_registry: Open, key: SigningKey, unknown: SigningKey, archive: Path, tmp_path: Path
) -> None:
    second = tiny_archive(tmp_path / "2.tar.gz", seed=2)
    with open_registry() as registry:
        # Nothing verifies this one yet.
        assert _run(registry, "push", archive, "--sign", unknown.private, "--deploy") == OK
        assert _run(registry, "push", second, "--sign", key.private, "--deploy") == OK
    with open_registry(trusted_keys=key.public, require_signature=True) as registry:
        assert registry.deploy("1").status_code == 409
        assert _run(registry, "rollback") == REFUSED
        assert registry.active() == "2"
        assert registry.deploy("2").status_code == 201


def test_no_signature_of_an_unknown_key_replaces_a_verified_one(
    open_registry: Open, key: SigningKey, unknown: SigningKey, archive: Path
) -> None:
    sha256 = sha256_of(archive)
    with open_registry(trusted_keys=key.public) as registry:
        for signer, kept in ((unknown, unknown), (key, key), (unknown, key)):
            assert _push(registry, archive, signer.sign("ranker", sha256)).status_code in (200, 201)
            shown = _signature(registry, "1")
            assert shown is not None
            assert shown["key_id"] == kept.key_id
        assert _push(registry, archive, None).status_code == 200
        assert _signature(registry, "1") == shown


def test_a_promotion_takes_the_signature_along(
    open_registry: Open, settings: Settings, sandbox: Sandbox, key: SigningKey, archive: Path, tmp_path: Path
) -> None:
    other = settings.model_copy(
        update={
            "database_url": SecretStr(f"sqlite:///{tmp_path}/production.db"),
            "artifact_url": str(tmp_path / "production"),
            "trusted_keys": key.public,
            "require_signature": True,
        }
    )
    with open_registry() as staging, RunningRegistry(other, sandbox) as production:
        assert _run(staging, "push", archive, "--sign", key.private) == OK
        assert _run(staging, "promote", "1", "--to", production.url, "--to-token", TOKEN, "--deploy") == OK
        assert production.active() == "1"


def test_a_key_file_that_cannot_sign_is_a_wrong_call(
    open_registry: Open, key: SigningKey, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rsa = tmp_path / "rsa.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "rsa", "-out", str(rsa)], check=True, capture_output=True, timeout=60
    )
    with open_registry() as registry:
        for file, reason in ((rsa, "Ed25519"), (tmp_path / "absent.pem", "No such file"), (key.public, "private key")):
            assert _run(registry, "push", archive, "--sign", file) == USAGE
            assert reason in capsys.readouterr().err
        assert registry.http.get("/models").json() == []


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"REQUIRE_SIGNATURE": "1"}, "REQUIRE_SIGNATURE needs TRUSTED_KEYS"),
        ({"REQUIRE_SIGNATURE": "1", "TRUSTED_KEYS": "absent.pem"}, "TRUSTED_KEYS: absent.pem: No such file"),
    ],
    ids=["no setting", "no file"],
)
def test_the_registry_does_not_start_without_the_keys_it_needs(
    tmp_path: Path, environment: dict[str, str], reason: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "model_registry"],
        cwd=tmp_path,
        env={"PATH": "", "PORT": "8001", "DATABASE_URL": f"sqlite:///{tmp_path}/recsys.db", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 2
    assert reason in ran.stdout + ran.stderr


def test_an_upgrade_keeps_the_versions_and_adds_no_signature(
    open_registry: Open, settings: Settings, archive: Path
) -> None:
    with open_registry() as registry:
        assert _push(registry, archive, None).status_code == 201
    engine = open_database(settings.database_url.get_secret_value(), SCHEMA)
    with engine.begin() as connection:
        for column in ("signature", "signature_key_id", "signed_at"):
            connection.execute(sa.text(f"ALTER TABLE versions DROP COLUMN {column}"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0010'"))
    engine.dispose()
    with open_registry() as registry:
        assert _signature(registry, "1") is None
        assert registry.deploy("1").status_code == 201
