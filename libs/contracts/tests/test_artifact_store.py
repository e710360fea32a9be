"""Addresses of artifacts: where they point, and how long a dead store is waited for."""

from pathlib import Path

import pytest
from s3fs import S3FileSystem

from contracts.artifact_store import UnreachableStoreError, UnusableAddressError, locate, store_errors
from testkit.s3_server import S3Server


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_folder_lies_on_this_machines_disk(tmp_path: Path, prefix: str) -> None:
    assert locate(f"{prefix}{tmp_path}").local_path == tmp_path


@pytest.mark.parametrize("protocol", ["s3", "s3a"])
def test_a_bucket_that_does_not_answer_is_not_waited_for_without_end(protocol: str) -> None:
    location = locate(f"{protocol}://bucket/models")
    assert (location.local_path, location.path) == (None, "bucket/models")
    assert location.files.config_kwargs == {"connect_timeout": 10, "read_timeout": 60}


@pytest.mark.parametrize(("address", "named"), [("none://bucket/models", "none"), ("gs://bucket/models", "gcsfs")])
def test_a_protocol_that_is_unknown_or_not_installed_is_an_error_of_the_address(address: str, named: str) -> None:
    with pytest.raises(UnusableAddressError, match=named):
        locate(address)


def test_what_another_process_writes_to_a_bucket_is_seen_at_once(s3_server: S3Server) -> None:
    files = locate(f"{s3_server.address}/runs").files
    other = S3FileSystem(skip_instance_cache=True)
    for number in (1, 2):
        other.pipe_file(f"{s3_server.bucket}/runs/{number}/run.json", b"{}")
        assert len(files.ls(f"{s3_server.bucket}/runs")) == number


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "Could not connect to the endpoint URL"),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"},
            "Unable to locate credentials",
        ),
    ],
)
def test_a_bucket_that_cannot_be_reached_is_an_os_error(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    with pytest.raises(UnreachableStoreError, match=f"^object store: {message}"), store_errors():
        locate(s3_server.address).files.pipe_file(f"{s3_server.bucket}/a", b"")
