"""Folders below ARTIFACT_URL, local or remote: a step reads whole folders and writes whole folders."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.artifact_store import Location, UnusableAddressError, locate
from pipeline.errors import PipelineError


def join(uri: str, *names: str) -> str:
    """Return the address of something below `uri`."""
    return "/".join((uri.rstrip("/"), *names))


@contextmanager
def reading(uri: str) -> Iterator[Path]:
    """Yield the folder at `uri` as a local one; raises `PipelineError` if it doesn't exist."""
    location = _parse_location(uri)
    if not location.files.isdir(location.path):
        raise PipelineError(f"{uri}: no such folder; has the step that writes it run?")
    if location.local_path is not None:
        yield location.local_path
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        location.files.get(f"{location.path.rstrip('/')}/", f"{temporary}/", recursive=True)
        yield Path(temporary)


@contextmanager
def writing(uri: str) -> Iterator[Path]:
    """Yield an empty local folder that becomes `uri` if the block succeeds; until then `uri` is unchanged."""
    files, path = location = _parse_location(uri)
    if (target := location.local_path) is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}"
        draft.mkdir()
        try:
            yield draft
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        yield Path(temporary)
        if files.exists(path):
            files.rm(path, recursive=True)
        files.put(f"{temporary}/", f"{path.rstrip('/')}/", recursive=True)


def folders_below(uri: str) -> list[str]:
    """Return the names of the folders at `uri`, ascending, without unfinished ones; raises `OSError`."""
    files, path = _parse_location(uri)
    if not files.isdir(path):
        return []
    found = (entry["name"].rstrip("/") for entry in files.ls(path, detail=True) if entry["type"] == "directory")
    names = (name.rpartition("/")[2] for name in found)
    return sorted(name for name in names if not name.startswith("."))


def read_file(uri: str) -> bytes | None:
    """Return the content of one file, None if it does not exist; raises `OSError`."""
    files, path = _parse_location(uri)
    try:
        content: bytes = files.cat_file(path)
    except FileNotFoundError:
        return None
    return content


def remove(uri: str) -> None:
    """Remove the folder at `uri`; raises `OSError`."""
    files, path = _parse_location(uri)
    files.rm(path, recursive=True)


def _parse_location(uri: str) -> Location:
    try:
        return locate(uri)
    except UnusableAddressError as error:
        raise PipelineError(f"ARTIFACT_URL: {error}") from error
