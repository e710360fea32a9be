"""Single files of a run's folder, local or remote; a report is made of what is there."""

import hashlib
from typing import Any

from contracts import bounded_json
from contracts.artifact_store import locate, store_errors

MAX_FILE_BYTES = 16 * 2**20
_BLOCK_BYTES = 2**20


class UnreadableResultError(ValueError):
    """The file exists and can't be shown; the message says why."""


@store_errors()
def read_json(address: str) -> Any:
    """Return the content of a JSON file, None if there is none; raises `UnreadableResultError` and `OSError`."""
    files, path = locate(address)
    try:
        with files.open(path, "rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        return bounded_json.loads(content, max_bytes=MAX_FILE_BYTES)
    except bounded_json.JsonError as error:
        raise UnreadableResultError(str(error)) from error


@store_errors()
def read_checksum(address: str) -> tuple[str, int] | None:
    """Return SHA-256 and size of a file, None if there is none; raises `OSError`."""
    files, path = locate(address)
    digest, size = hashlib.sha256(), 0
    try:
        with files.open(path, "rb") as opened:
            while block := opened.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except FileNotFoundError:
        return None
    return digest.hexdigest(), size
