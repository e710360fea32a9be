import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from s3fs import S3FileSystem

import monitoring.testing
from contracts.artifact_store import UnreachableStoreError
from contracts.bundle import pack
from contracts.checksums import sha256_of
from model_registry.artifacts import ArtifactStore, MissingArtifactError
from ranking.testing import tiny_archive, tiny_bundle
from running_registry import RunningRegistry
from testkit.s3_server import S3Server


def test_versions_count_up_and_the_same_content_keeps_its_version(registry: RunningRegistry, tmp_path: Path) -> None:
    first = tiny_archive(tmp_path / "a.tar.gz", seed=1)
    pushed = registry.push(first)
    again = registry.push(first)
    second = registry.push(tiny_archive(tmp_path / "b.tar.gz", seed=2))
    assert (pushed.status_code, pushed.json()["version"]) == (201, "1")
    assert (again.status_code, again.json()) == (200, pushed.json())
    assert (second.status_code, second.json()["version"]) == (201, "2")
    model = registry.http.get("/models/ranker").json()
    assert [version["version"] for version in model["versions"]] == ["2", "1"]
    assert registry.http.get("/models").json() == [model]


def test_a_bundle_is_downloaded_byte_for_byte(registry: RunningRegistry, tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "a.tar.gz")
    version = registry.push(archive).json()["version"]
    assert registry.http.get(f"/models/ranker/versions/{version}/bundle").content == archive.read_bytes()
    detail = registry.http.get(f"/models/ranker/versions/{version}").json()
    assert (detail["sha256"], detail["size"]) == (sha256_of(archive), archive.stat().st_size)
    assert detail["manifest"]["metrics"]["ndcg@10"] == 0.2


def test_an_upload_needs_the_token(stranger: httpx.Client) -> None:
    refused = stranger.post("/models/ranker/versions", files={"bundle": b"x"}, data={"sha256": "0" * 64})
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"


def test_an_upload_with_a_wrong_checksum_is_rejected_and_nothing_is_stored(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    refused = registry.push(tiny_archive(tmp_path / "a.tar.gz"), sha256="0" * 64)
    assert refused.status_code == 422
    assert "sha256" in refused.json()["detail"]
    assert registry.http.get("/models/ranker").status_code == 404
    assert not list((tmp_path / "artifacts").rglob("*.gz*"))


def _entry(name: str, content: bytes, kind: bytes = tarfile.REGTYPE, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content)
    return info, content


def _tar(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return path


def _truncated(folder: Path) -> Path:
    whole = tiny_archive(folder / "whole.tar.gz").read_bytes()
    path = folder / "truncated.tar.gz"
    path.write_bytes(whole[: len(whole) // 2])
    return path


def _foreign_file(folder: Path) -> Path:
    made = tiny_bundle(folder / "contents")
    (made / "ranker.txt").write_text("not what the manifest names", encoding="utf-8")
    pack(made, folder / "changed.tar.gz")
    return folder / "changed.tar.gz"


def _bad_manifest(folder: Path) -> Path:
    made = tiny_bundle(folder / "contents")
    (made / "manifest.json").write_text('{"format": 1, "name": 5}', encoding="utf-8")
    pack(made, folder / "manifest.tar.gz")
    return folder / "manifest.tar.gz"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: _tar(folder / "x.tar.gz", _entry("../evil", b"x")), "evil"),
        (lambda folder: _tar(folder / "x.tar.gz", _entry("link", b"", tarfile.SYMTYPE, "/etc/passwd")), "link"),
        (lambda folder: _tar(folder / "x.tar.gz", _entry("a", b"x")), "manifest.json: missing"),
        (_truncated, "not a readable .tar.gz"),
        (_foreign_file, "ranker.txt: sha256"),
        (_bad_manifest, "manifest.json: name"),
        (lambda folder: tiny_archive(folder / "x.tar.gz", name="other"), "pushed as 'ranker'"),
    ],
)
def test_an_upload_that_is_not_a_bundle_is_rejected_with_the_file_at_fault(
    registry: RunningRegistry, tmp_path: Path, make: Callable[[Path], Path], says: str
) -> None:
    refused = registry.push(make(tmp_path))
    assert refused.status_code == 422
    assert says in refused.json()["detail"]
    assert registry.http.get("/models").json() == []
    assert not list((tmp_path / "artifacts").rglob("*.gz*"))


def test_an_invalid_manifest_is_reported(registry: RunningRegistry, tmp_path: Path) -> None:
    with monitoring.testing.captured() as reports:
        registry.push(_bad_manifest(tmp_path))
    assert reports.point_ids == ["model.registry_parse_failed"]


def test_a_bundle_above_the_limit_is_rejected(registry: RunningRegistry, tmp_path: Path) -> None:
    path = tmp_path / "large.tar.gz"
    path.write_bytes(b"\0" * (9 * 2**20))
    assert registry.push(path).status_code == 413


@pytest.mark.parametrize("version", ["0", "x", "99999999999", "3"])
def test_an_unknown_version_is_a_problem_that_names_it(registry: RunningRegistry, version: str) -> None:
    answer = registry.http.get(f"/models/ranker/versions/{version}", headers={"X-Request-ID": "asked-by-test"})
    assert answer.status_code in (404, 422)
    assert answer.json()["request_id"] == "asked-by-test"


def test_bundles_lie_on_an_object_store_as_they_were_pushed(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(f"{s3_server.address}/registry")
    bundle = tiny_archive(tmp_path / "a.tar.gz")
    sha256 = store.put(bundle, "ranker")
    assert (store.exists("ranker", sha256), store.exists("ranker", "0" * 64)) == (True, False)
    store.fetch("ranker", sha256, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == bundle.read_bytes()
    with pytest.raises(MissingArtifactError):
        store.open("ranker", "0" * 64)
    assert [path.rpartition("/")[2] for path in S3FileSystem().find(s3_server.bucket)] == [f"{sha256}.tar.gz"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(UnreachableStoreError):
        ArtifactStore(s3_server.address).fetch("ranker", sha256, tmp_path / "copy")
