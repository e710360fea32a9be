"""What can be compared: a run, an evaluation part, or a bundle."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.bundle import MalformedBundleError, MalformedManifestError, read_manifest, unpack
from contracts.checksums import ChecksumError
from pipeline.artifacts import folders_below, join, reading
from pipeline.bundle.build import ARCHIVE
from pipeline.errors import InputError
from pipeline.evaluate import MISSING, PART
from pipeline.settings import Settings
from pipeline.steps import check_run_id, find_run
from ranking.bundle import UnusableBundleError, load
from ranking.evaluation import ComparedModel, UnusablePartError, model_of_bundle, read_part

_ENDINGS = (".zip", ".gz")


def load_source(settings: Settings, text: str) -> ComparedModel:
    """Read what a text names: a file, a path if it has a slash or ends with `.zip` or `.gz`, otherwise the id of a run.

    The address of a run (`s3://…`) is another way to name it.

    Of a run, the twin of its evaluation part is compared, or its bundle if it has none. Raises `InputError`.
    """
    path = Path(text)
    if "/" not in text and not text.endswith(_ENDINGS) and not path.is_file():
        run, _ = find_run(settings, check_run_id(text))
        return _of_run(text, run)
    if "://" in text:
        return _of_run(text, text)
    if path.is_file():
        return _of_part(text, path) if zipfile.is_zipfile(path) or path.suffix == ".zip" else _of_archive(text, path)
    if not path.is_dir():
        raise InputError(f"{text}: no such file or folder")
    return _of_contents(text, path) if (path / "manifest.json").exists() else _of_run(text, text)


def _of_run(name: str, run: str) -> ComparedModel:
    folders = folders_below(run)
    reason = "it has not been evaluated by this release"
    if "evaluation_part" in folders:
        with reading(join(run, "evaluation_part")) as folder:
            if (folder / PART).exists():
                return _of_part(name, folder / PART)
            reason = (folder / MISSING).read_text(encoding="utf-8").strip()
    if "bundle" not in folders:
        raise InputError(f"{name}: there is neither an evaluation part ({reason}) nor a bundle in {run}")
    with reading(join(run, "bundle")) as folder:
        return _of_archive(name, folder / ARCHIVE)


def _of_part(name: str, path: Path) -> ComparedModel:
    try:
        part = read_part(path)
    except UnusablePartError as error:
        raise InputError(str(error)) from error
    return ComparedModel(name, part.twin, part)


def _of_archive(name: str, path: Path) -> ComparedModel:
    with tempfile.TemporaryDirectory(prefix="compare-") as folder, _unusable(path):
        manifest = unpack(path, Path(folder))
        return ComparedModel(name, model_of_bundle(load(Path(folder)), manifest), None)


def _of_contents(name: str, folder: Path) -> ComparedModel:
    with _unusable(folder):
        return ComparedModel(name, model_of_bundle(load(folder), read_manifest(folder)), None)


@contextmanager
def _unusable(path: Path) -> Iterator[None]:
    try:
        yield
    except (MalformedBundleError, MalformedManifestError, ChecksumError, UnusableBundleError) as error:
        raise InputError(f"{path}: {error}") from error
