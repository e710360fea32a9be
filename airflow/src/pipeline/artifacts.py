"""Folders below ARTIFACT_URL, local or remote: a step reads whole folders and writes whole folders.

Beside each folder, the file `<folder>.files.json` lists its files. It is written last and removed first, so a remote
folder without it is unfinished. A local folder appears at once, by a rename.
"""

import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from contracts.artifact_store import Location, UnusableAddressError, locate, store_errors
from contracts.checksums import files_below, sha256_of
from pipeline.errors import PipelineError


class FileSum(BaseModel):
    """Size and checksum of a file."""

    bytes: int
    sha256: str


class FileList(BaseModel):
    """The files of a finished folder, by their path below it."""

    files: dict[str, FileSum]

    @classmethod
    def of(cls, folder: Path) -> "FileList":
        """List the files of a local folder."""
        found = files_below(folder).items()
        return cls(files={name: FileSum(bytes=path.stat().st_size, sha256=sha256_of(path)) for name, path in found})

    @property
    def digest(self) -> str:
        """One checksum of all names and contents."""
        lines = "".join(f"{each.sha256}  {name}\n" for name, each in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def join(uri: str, *names: str) -> str:
    """Return the address of something below `uri`."""
    return "/".join((uri.rstrip("/"), *names))


def is_local(uri: str) -> bool:
    """Return whether `uri` is a folder of this machine; raises `PipelineError` if it is no usable address."""
    return _parse_location(uri).local_path is not None


@contextmanager
def reading(uri: str) -> Iterator[Path]:
    """Yield the folder at `uri` as a local one; raises `PipelineError` if it doesn't exist or is unfinished."""
    location = _parse_location(uri)
    if location.local_path is not None:
        if not location.local_path.is_dir():
            raise _missing(uri)
        yield location.local_path
        return
    listed = read_file_list(uri)
    if listed is None:
        raise _missing(uri)
    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        _download(location, listed, Path(temporary))
        if FileList.of(Path(temporary)) != listed:
            raise PipelineError(f"{uri}: its files are not those that were written; repeat the step that writes it")
        yield Path(temporary)


@contextmanager
def writing(uri: str) -> Iterator[Path]:
    """Yield an empty local folder that becomes `uri` if the block succeeds; until then `uri` is unchanged."""
    location = _parse_location(uri)
    if (target := location.local_path) is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = _new_draft(target)
        draft.mkdir()
        try:
            yield draft
            listed = FileList.of(draft)
            remove_file(_list_address(uri))
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
            write_file(_list_address(uri), listed.model_dump_json(indent=1).encode())
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        yield Path(temporary)
        listed = FileList.of(Path(temporary))
        remove_file(_list_address(uri))
        _upload(Path(temporary), location)
        write_file(_list_address(uri), listed.model_dump_json(indent=1).encode())


def read_file_list(uri: str) -> FileList | None:
    """Return the list of a finished folder's files, None if the folder is missing or unfinished."""
    data = read_file(_list_address(uri))
    try:
        return None if data is None else FileList.model_validate_json(data)
    except ValidationError:
        return None


def is_complete(uri: str) -> bool:
    """Return whether a folder has all its files as they were written."""
    listed = read_file_list(uri)
    return listed is not None and has_files(uri, listed)


@store_errors()
def has_files(uri: str, listed: FileList) -> bool:
    """Return whether the folder's files are those of its list: on a remote store by their sizes, else by checksums."""
    files, path = location = _parse_location(uri)
    if location.local_path is not None:
        return location.local_path.is_dir() and FileList.of(location.local_path) == listed
    if not files.exists(path):
        return False
    root = f"{path.strip('/')}/"
    found = {entry.strip("/").removeprefix(root): info["size"] for entry, info in files.find(path, detail=True).items()}
    return found == {name: each.bytes for name, each in listed.files.items()}


@store_errors()
def read_file(uri: str) -> bytes | None:
    """Return the content of a file, None if there is none; raises `OSError`."""
    files, path = _parse_location(uri)
    try:
        content: bytes = files.cat_file(path)
    except FileNotFoundError:
        return None
    return content


@store_errors()
def write_file(uri: str, content: bytes) -> None:
    """Write a file; a reader sees either the previous content or the new one."""
    files, path = location = _parse_location(uri)
    if (target := location.local_path) is None:
        files.pipe_file(path, content)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = _new_draft(target)
    try:
        draft.write_bytes(content)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


@store_errors()
def remove_file(uri: str) -> None:
    """Remove a file if there is one; raises `OSError`."""
    files, path = _parse_location(uri)
    with suppress(FileNotFoundError):
        files.rm_file(path)


@store_errors()
def folders_below(uri: str) -> list[str]:
    """Return the names of the folders at `uri`, ascending, without unfinished ones; raises `OSError`."""
    files, path = _parse_location(uri)
    if not files.isdir(path):
        return []
    found = (entry["name"].rstrip("/") for entry in files.ls(path, detail=True) if entry["type"] == "directory")
    names = (name.rpartition("/")[2] for name in found)
    return sorted(name for name in names if not name.startswith("."))


@store_errors()
def file_names(uri: str) -> list[str]:
    """Return the names of the files in the folder at `uri`, ascending, without unfinished ones; raises `OSError`."""
    files, path = _parse_location(uri)
    if not files.isdir(path):
        return []
    names = (entry["name"].rpartition("/")[2] for entry in files.ls(path, detail=True) if entry["type"] == "file")
    return sorted(name for name in names if not name.startswith("."))


@store_errors()
def remove(uri: str) -> None:
    """Remove the folder at `uri`; raises `OSError`."""
    files, path = _parse_location(uri)
    remove_file(_list_address(uri))
    files.rm(path, recursive=True)


def _new_draft(target: Path) -> Path:
    """Return a path beside the target, and remove the drafts that killed processes have left."""
    for left in target.parent.glob(f".{target.name}.{'[0-9a-f]' * 8}"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    return target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}"


def _missing(uri: str) -> PipelineError:
    return PipelineError(f"{uri}: no such folder, or an unfinished one; has the step that writes it run?")


def _list_address(uri: str) -> str:
    return f"{uri.rstrip('/')}.files.json"


@store_errors()
def _download(location: Location, listed: FileList, folder: Path) -> None:
    root = location.path.rstrip("/")
    for name in listed.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    try:
        location.files.get([f"{root}/{name}" for name in listed.files], [str(folder / name) for name in listed.files])
    except FileNotFoundError as error:
        raise PipelineError(f"{root}: a file is missing; repeat the step that writes it") from error


@store_errors()
def _upload(folder: Path, location: Location) -> None:
    files, path = location
    if files.exists(path):
        files.rm(path, recursive=True)
    files.put(f"{folder}/", f"{path.rstrip('/')}/", recursive=True)


def _parse_location(uri: str) -> Location:
    try:
        return locate(uri)
    except UnusableAddressError as error:
        raise PipelineError(f"ARTIFACT_URL: {error}") from error
