"""Artifacts between steps, and the requests to the registry and feature-sync."""

import hashlib
import json
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.artifact_store import locate
from contracts.bundle_signatures import HEADER
from contracts.checksums import sha256_of
from pipeline.artifacts import has_files, join, read_file, read_file_list, reading, remove_file, write_file, writing
from pipeline.errors import InputError, PipelineError
from pipeline.publish import deploy, push, sync_snapshot
from pipeline.publish.http import RefusedError, UnreachableError, UnusableAnswerError
from ranking.testing import Size, tiny_archive
from testkit.signing_keys import SigningKey
from testkit.threaded_server import SilentHandler, ThreadedServer

TOKEN = SecretStr("registry-secret")
VERSION = {"name": "ranker", "version": "12", "sha256": "a" * 64, "created_at": "2026-11-24T03:10:00Z"}
DEPLOYMENT = {
    "deployment_id": "d-3",
    "mode": "primary",
    "version": "12",
    "state": "active",
    "previous_version": None,
}


class Service(ThreadedServer):
    """Answers each call with the next of its prepared answers, and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, dict[str, str], bytes]] = []


class _Handler(SilentHandler):
    server: Service

    def do_POST(self) -> None:
        self._reply(self.read_body())

    def do_GET(self) -> None:
        self._reply(b"")

    def _reply(self, body: bytes) -> None:
        call = f"{self.command} {self.path}"
        self.server.asked.append((call, {name.lower(): value for name, value in self.headers.items()}, body))
        prepared = self.server.answers[call]
        status, answer = prepared.pop(0) if len(prepared) > 1 else prepared[0]
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_body(status, content)


@pytest.fixture
def service() -> Iterator[Service]:
    """A service on loopback."""
    with Service() as running:
        yield running


def test_a_bundle_is_pushed_with_its_checksum_and_the_token(service: Service, tmp_path: Path) -> None:
    service.answers["POST /models/ranker/versions"] = [(201, VERSION)]
    archive = tiny_archive(tmp_path / "bundle.tar.gz", size=Size(60))
    assert push(service.url, TOKEN, "ranker", archive) == "12"
    _, headers, body = service.asked[0]
    assert headers["authorization"] == "Bearer registry-secret"
    head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
    assert parts["bundle"].get_payload(decode=True) == archive.read_bytes()
    assert parts["sha256"].get_payload(decode=True) == hashlib.sha256(archive.read_bytes()).hexdigest().encode()


def test_a_bundle_is_signed_by_the_key_of_the_settings(service: Service, tmp_path: Path) -> None:
    service.answers["POST /models/ranker/versions"] = [(201, VERSION)]
    archive, key = tiny_archive(tmp_path / "bundle.tar.gz", size=Size(60)), SigningKey.new(tmp_path / "key")
    push(service.url, TOKEN, "ranker", archive, signing_key=key.private)
    assert service.asked[0][1][HEADER.lower()] == key.sign("ranker", sha256_of(archive)).to_header()
    with pytest.raises(InputError, match=r"SIGNING_KEY: .*no private key"):
        push(service.url, TOKEN, "ranker", archive, signing_key=key.public)
    assert len(service.asked) == 1


def test_a_version_is_deployed_as_the_primary_one_with_author_and_reason(service: Service) -> None:
    service.answers["POST /models/ranker/deployments"] = [(201, DEPLOYMENT)]
    assert deploy(service.url, TOKEN, "ranker", "12", reason="training, run 1") == "d-3"
    assert json.loads(service.asked[0][2]) == {"version": "12", "mode": "primary", "reason": "training, run 1"}
    assert service.asked[0][1]["x-deployed-by"] == "pipeline"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (409, {"title": "Conflict", "status": 409, "detail": "gate: ndcg@10 0.10 is below 0.19"}, "gate: ndcg@10 0.10"),
        (422, {"title": "Unprocessable", "status": 422, "detail": "checksum: sha256 is ab"}, "checksum: sha256 is ab"),
        (401, {"title": "Unauthorized", "status": 401}, "Unauthorized"),
        (200, b"no json", "no json"),
    ],
)
def test_a_rejection_contains_the_services_reason(service: Service, status: int, body: object, reason: str) -> None:
    service.answers["POST /models/ranker/deployments"] = [(status, body)]
    with pytest.raises(RefusedError) as refused:
        deploy(service.url, TOKEN, "ranker", "12")
    assert reason in str(refused.value)
    assert str(status) in str(refused.value)
    assert "registry-secret" not in str(refused.value)


@pytest.mark.parametrize(
    "body", [b"<html>registry-secret</html>", b"[]", b"null", b"{}", b'{"deployment_id": NaN}', b"[" * 100_000, b"\xff"]
)
def test_an_answer_of_another_server_is_named_by_url_and_ends_with_3(service: Service, body: bytes) -> None:
    service.answers["POST /models/ranker/deployments"] = [(200, body)]
    with pytest.raises(UnusableAnswerError, match=f"{service.url}/models/ranker/deployments answered 200") as caught:
        deploy(service.url, TOKEN, "ranker", "12")
    assert caught.value.exit_code == 3
    assert "registry-secret" not in str(caught.value)


def test_a_fault_of_the_service_is_worth_a_retry(service: Service) -> None:
    service.answers["POST /models/ranker/deployments"] = [(502, b"<html>bad gateway</html>")]
    with pytest.raises(UnreachableError, match="answered 502: <html>bad gateway"):
        deploy(service.url, TOKEN, "ranker", "12")


def test_an_unreachable_service_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"model-registry at http://127\.0\.0\.1:1"):
        push("http://127.0.0.1:1", TOKEN, "ranker", tiny_archive(tmp_path / "b.tar.gz", size=Size(60)))


def test_the_end_of_a_sync_is_awaited(service: Service) -> None:
    service.answers["POST /sync"] = [(202, {"job": "j-1"})]
    service.answers["GET /sync/j-1"] = [
        (200, {"job": "j-1", "state": "queued"}),
        (200, {"job": "j-1", "state": "running"}),
        (200, {"job": "j-1", "state": "done", "users": 5}),
    ]
    naps: list[float] = []
    state = sync_snapshot(service.url, TOKEN, "/data/snapshots/v1", sleep=naps.append, clock=lambda: 0.0)
    assert (state["users"], len(naps)) == (5, 2)
    assert json.loads(service.asked[0][2]) == {"snapshot": "/data/snapshots/v1"}


def test_a_failed_sync_names_its_reason(service: Service) -> None:
    service.answers["POST /sync"] = [(202, {"job": "j-1"})]
    service.answers["GET /sync/j-1"] = [(200, {"job": "j-1", "state": "failed", "error": "manifest.json: missing"})]
    with pytest.raises(RefusedError, match=r"job j-1 failed: manifest\.json: missing"):
        sync_snapshot(service.url, TOKEN, "/data/snapshots/v1")


def test_a_sync_that_never_ends_is_given_up(service: Service) -> None:
    service.answers["POST /sync"] = [(202, {"job": "j-1"})]
    service.answers["GET /sync/j-1"] = [(200, {"job": "j-1", "state": "running"})]
    times = iter(range(0, 10_000, 200))
    with pytest.raises(UnreachableError, match="did not end within 600 s"):
        sync_snapshot(service.url, TOKEN, "x", sleep=lambda _: None, clock=lambda: float(next(times)))


@pytest.fixture(params=["local", "remote"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The places of artifacts: a folder, and a store that is not a file system."""
    return str(tmp_path / "artifacts") if request.param == "local" else f"memory://{tmp_path.name}"


def test_a_written_folder_is_read_and_replaced_as_a_whole(root: str) -> None:
    uri = join(root, "runs", "r1", "model")
    for content in ("first", "second"):
        with writing(uri) as folder:
            (folder / "deeper").mkdir()
            (folder / "deeper" / f"{content}.txt").write_text(content, encoding="utf-8")
    with reading(uri) as folder:
        found = {path.name: path.read_text(encoding="utf-8") for path in folder.rglob("*.txt")}
    assert found == {"second.txt": "second"}


def test_an_interrupted_step_keeps_the_previous_result(root: str) -> None:
    uri = join(root, "runs", "r1", "model")
    with writing(uri) as folder:
        (folder / "whole.txt").write_text("whole", encoding="utf-8")

    def breaking() -> None:
        with writing(uri) as folder:
            (folder / "half.txt").write_text("half", encoding="utf-8")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        breaking()
    with reading(uri) as folder:
        assert [path.name for path in folder.rglob("*.*")] == ["whole.txt"]


def test_a_missing_folder_and_an_invalid_address_are_named(root: str) -> None:
    with pytest.raises(PipelineError, match="no such folder"), reading(join(root, "nothing")):
        pass
    with pytest.raises(PipelineError, match="ARTIFACT_URL"), reading("nosuchstore://x"):
        pass


def test_a_remote_folder_whose_upload_was_interrupted_is_not_read(tmp_path: Path) -> None:
    """The list of its files comes last; files that are missing, cut off or of another attempt are noticed, too."""
    uri = f"memory://{tmp_path.name}/runs/r1/model"
    files, path = locate(uri)
    files.pipe({f"{path}/first.txt": b"first", f"{path}/second.txt": b"sec"})
    with pytest.raises(PipelineError, match="no such folder, or an unfinished one"), reading(uri):
        pass
    with writing(uri) as folder:
        for name in ("first", "second"):
            (folder / f"{name}.txt").write_text(name, encoding="utf-8")
    with reading(uri) as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["first.txt", "second.txt"]
    listed = read_file_list(uri)
    assert listed is not None
    assert has_files(uri, listed)
    files.pipe_file(f"{path}/second.txt", b"sec")
    with pytest.raises(PipelineError, match="its files are not those that were written"), reading(uri):
        pass
    assert not has_files(uri, listed)
    files.rm_file(f"{path}/second.txt")
    with pytest.raises(PipelineError, match="a file is missing"), reading(uri):
        pass
    assert not has_files(uri, listed)


def test_what_a_killed_process_left_is_removed_with_the_next_attempt(tmp_path: Path) -> None:
    uri = str(tmp_path / "runs" / "r1" / "model")
    (tmp_path / "runs" / "r1" / ".model.0123abcd").mkdir(parents=True)
    (tmp_path / "runs" / "r1" / ".model_of_another").mkdir()
    with writing(uri) as folder:
        (folder / "whole.txt").write_text("whole", encoding="utf-8")
    assert sorted(path.name for path in (tmp_path / "runs" / "r1").iterdir()) == [
        ".model_of_another",
        "model",
        "model.files.json",
    ]


def test_a_file_is_replaced_as_a_whole_and_its_removal_may_be_repeated(root: str) -> None:
    uri = join(root, "runs", "r1", "run.json")
    assert read_file(uri) is None
    for content in (b"first", b"second"):
        write_file(uri, content)
        assert read_file(uri) == content
    remove_file(uri)
    remove_file(uri)
    assert read_file(uri) is None
