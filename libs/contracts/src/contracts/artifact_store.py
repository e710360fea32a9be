"""Opens what ARTIFACT_URL and other addresses of artifacts name: a folder, or a bucket, by fsspec."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
from botocore.exceptions import BotoCoreError
from fsspec.implementations.local import LocalFileSystem

# A dead object store is noticed within a minute; a large file may take its time between two packets. A cached listing
# would hide what another process has written.
_S3_OPTIONS: dict[str, Any] = {
    "config_kwargs": {"connect_timeout": 10, "read_timeout": 60},
    "use_listings_cache": False,
}


class UnusableAddressError(ValueError):
    """No such protocol, or one whose package is not installed."""


class UnreachableStoreError(OSError):
    """The object store does not answer, or there are no credentials for it: correct the AWS_… variables, or wait."""


class Location(NamedTuple):
    """A path on a file system of fsspec."""

    files: Any
    path: str

    @property
    def local_path(self) -> Path | None:
        """Return where it is on this machine's disk, None if it is elsewhere."""
        return Path(self.path) if isinstance(self.files, LocalFileSystem) else None


def locate(address: str) -> Location:
    """Return where a path or URL points; nothing is asked yet. Raises `UnusableAddressError`."""
    options = _S3_OPTIONS if address.startswith(("s3://", "s3a://")) else {}
    try:
        files, path = fsspec.url_to_fs(address, **options)
    except (ValueError, ImportError) as error:
        raise UnusableAddressError(str(error)) from error
    return Location(files, str(path))


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise `UnreachableStoreError` for the errors of the S3 client that fsspec doesn't make an `OSError`."""
    try:
        yield
    except BotoCoreError as error:
        raise UnreachableStoreError(f"object store: {error}") from error
