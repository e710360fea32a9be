"""Downloads and unpacks a deployed bundle.

Imports neither numpy nor the rest of the service: the subprocess that fetches would have to wait for them.
"""

import hashlib
from pathlib import Path

import httpx

from contracts.bundle import unpack
from contracts.registry.errors import RegistryError, RegistryUnreachableError

DOWNLOAD_TIMEOUT = httpx.Timeout(30.0, connect=2.0)
_PIECE = 2**15  # fits into a core's cache


class BundleNotFoundError(RegistryError):
    """The artifact store doesn't have the deployed version's bundle."""


class ChecksumMismatchError(RegistryError):
    """The checksum of the download is not that of the deployment."""


def fetch_bundle(url: str, headers: dict[str, str], sha256: str, folder: Path) -> None:
    """Download a bundle, unpack it to `unpacked` in `folder`, and check every file.

    Raises `RegistryUnreachableError`, `BundleNotFoundError` or `ChecksumMismatchError`, `OSError` from the disk, and
    what `contracts.bundle.unpack` does.
    """
    archive = folder / "bundle.tar.gz"
    digest = hashlib.sha256()
    try:
        with httpx.stream("GET", url, headers=headers, timeout=DOWNLOAD_TIMEOUT) as response:
            if response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
                raise BundleNotFoundError(f"{url}: HTTP {response.status_code}")
            if response.status_code != httpx.codes.OK:
                raise RegistryUnreachableError(url, f"HTTP {response.status_code}")
            with archive.open("wb") as file:
                for block in response.iter_bytes(_PIECE):
                    digest.update(block)
                    file.write(block)
    except httpx.HTTPError as error:
        raise RegistryUnreachableError(url, str(error) or type(error).__name__) from error
    if digest.hexdigest() != sha256:
        raise ChecksumMismatchError(f"{url}: sha256 is {digest.hexdigest()}, expected {sha256}")
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    unpack(archive, unpacked)
    # Removed here, in the subprocess, and not together with the folder: releasing a large file takes the system a
    # while.
    archive.unlink()
