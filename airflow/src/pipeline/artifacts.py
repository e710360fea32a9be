"""Folders below ARTIFACT_URL, local or remote: a step reads whole folders and writes whole folders."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import PipelineError

# A dead object store is noticed within a minute; a large file may take its time between two packets.
_S3_OPTIONS: dict[str, Any] = {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60}}


def join(uri: str, *names: str) -> str:
    """Return the address of something below `uri`."""
    return "/".join((uri.rstrip("/"), *names))


@contextmanager
def reading(uri: str) -> Iterator[Path]:
    """Give the folder at `uri` as a local one; raises `PipelineError` when it isn't there."""
    fs, path = _open(uri)
    if not fs.isdir(path):
        raise PipelineError(f"{uri}: no such folder; has the step that writes it run?")
    if isinstance(fs, LocalFileSystem):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        fs.get(f"{path.rstrip('/')}/", f"{temporary}/", recursive=True)
        yield Path(temporary)


@contextmanager
def writing(uri: str) -> Iterator[Path]:
    """Give an empty local folder that becomes `uri` when the block ends well; until then `uri` stays as it is."""
    fs, path = _open(uri)
    if isinstance(fs, LocalFileSystem):
        target = Path(path)
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
        if fs.exists(path):
            fs.rm(path, recursive=True)
        fs.put(f"{temporary}/", f"{path.rstrip('/')}/", recursive=True)


def folders_below(uri: str) -> list[str]:
    """Return the names of the folders at `uri`, ascending, without unfinished ones; raises `OSError`."""
    fs, path = _open(uri)
    if not fs.isdir(path):
        return []
    found = (entry["name"].rstrip("/") for entry in fs.ls(path, detail=True) if entry["type"] == "directory")
    names = (name.rpartition("/")[2] for name in found)
    return sorted(name for name in names if not name.startswith("."))


def remove(uri: str) -> None:
    """Remove the folder at `uri`; raises `OSError`."""
    fs, path = _open(uri)
    fs.rm(path, recursive=True)


def _open(uri: str) -> tuple[Any, str]:
    options = _S3_OPTIONS if uri.startswith(("s3://", "s3a://")) else {}
    try:
        fs, path = url_to_fs(uri, **options)
    except (ValueError, ImportError) as error:
        raise PipelineError(f"ARTIFACT_URL: {error}") from error
    return fs, str(path)
