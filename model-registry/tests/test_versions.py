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
from localservers.waiting import wait_until
from model_registry.artifacts import ArtifactStore, DamagedArtifactError, MissingArtifactError
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
        (lambda folder: _tar(folder / "x.tar.gz", _entry("ranker.txt", b"x")), "manifest.json: missing"),
        (lambda folder: _tar(folder / "x.tar.gz", _entry("evil.pkl", b"x")), "evil.pkl: not a file of a bundle"),
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
    assert (store.is_intact("ranker", sha256), store.is_intact("ranker", "0" * 64)) == (True, False)
    store.fetch("ranker", sha256, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == bundle.read_bytes()
    with pytest.raises(MissingArtifactError):
        store.open_intact("ranker", "0" * 64)
    assert [path.rpartition("/")[2] for path in S3FileSystem().find(s3_server.bucket)] == [f"{sha256}.tar.gz"]
    with store.open_intact("ranker", sha256).content as content:
        assert content.read() == bundle.read_bytes()
    S3FileSystem().pipe_file(store.address("ranker", sha256), b"damaged")
    with pytest.raises(DamagedArtifactError):
        store.open_intact("ranker", sha256)
    store.check()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(UnreachableStoreError):
        ArtifactStore(s3_server.address).fetch("ranker", sha256, tmp_path / "copy")
    with pytest.raises(UnreachableStoreError):
        ArtifactStore(s3_server.address).check()


def _damage(registry: RunningRegistry, version: str) -> None:
    stored = registry.stored(version)
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 0xFF
    stored.write_bytes(content)


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_bundle_that_the_store_has_damaged_or_lost_is_not_served_and_is_healed_by_pushing_it_again(
    registry: RunningRegistry, tmp_path: Path, harm: str
) -> None:
    archive = tiny_archive(tmp_path / "a.tar.gz")
    version = registry.push(archive).json()["version"]
    path = f"/models/ranker/versions/{version}/bundle"
    assert registry.http.get(path).status_code == 200
    if harm == "damaged":
        _damage(registry, version)
    else:
        registry.stored(version).unlink()
    gone = registry.http.get(path)
    assert (gone.status_code, "push it again" in gone.json()["detail"]) == (404, True)
    assert registry.deploy(version).status_code in (409, 422)
    again = registry.push(archive)
    assert (again.status_code, again.json()["version"]) == (200, version)
    assert registry.http.get(path).content == archive.read_bytes()
    assert registry.deploy(version).status_code == 201


def test_a_download_has_its_length_and_tag_and_can_be_continued(registry: RunningRegistry, tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "a.tar.gz")
    path, whole = f"/models/ranker/versions/{registry.push(archive).json()['version']}/bundle", archive.read_bytes()
    head = registry.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert (head.headers["content-length"], head.headers["etag"]) == (str(len(whole)), f'"{sha256_of(archive)}"')
    tag = head.headers["etag"]
    assert registry.http.get(path).headers["content-length"] == str(len(whole))
    assert registry.http.get(path, headers={"If-None-Match": tag}).status_code == 304
    for wanted, expected in (("bytes=0-99", whole[:100]), ("bytes=100-", whole[100:]), ("bytes=-7", whole[-7:])):
        part = registry.http.get(path, headers={"Range": wanted, "If-Range": tag})
        assert (part.status_code, part.content) == (206, expected)
        first = len(whole) - len(expected) if wanted != "bytes=0-99" else 0
        assert part.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(whole)}"
    for ignored in ({"Range": "bytes=5-2"}, {"Range": "rows=1-2"}, {"Range": "bytes=1-2", "If-Range": '"other"'}):
        assert registry.http.get(path, headers=ignored).content == whole
    after = registry.http.get(path, headers={"Range": f"bytes={len(whole)}-"})
    assert (after.status_code, after.headers["content-range"]) == (416, f"bytes */{len(whole)}")


def test_a_store_that_cannot_be_used_is_seen_in_health_and_reported(registry: RunningRegistry, tmp_path: Path) -> None:
    wait_until(lambda: registry.http.get("/health").json()["status"] == "healthy", within=60, what="the store is asked")
    store = tmp_path / "artifacts"
    store.rename(tmp_path / "elsewhere")
    store.write_bytes(b"")
    with monitoring.testing.captured() as reports:
        pushed = registry.push(tiny_archive(tmp_path / "a.tar.gz"))
    assert (pushed.status_code, reports.point_ids) == (500, ["api.unhandled"])
    wait_until(
        lambda: registry.http.get("/health").json()["checks"]["artifact_store"]["status"] == "unhealthy",
        within=60,
        what="the store's fault is seen",
    )
    store.unlink()
    (tmp_path / "elsewhere").rename(store)
    assert registry.push(tiny_archive(tmp_path / "a.tar.gz")).status_code == 201
