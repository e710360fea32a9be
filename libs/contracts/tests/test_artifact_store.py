"""Addresses of artifacts: where they point, and how long a dead store is waited for."""

from pathlib import Path

import pytest

from contracts.artifact_store import UnusableAddressError, locate


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
