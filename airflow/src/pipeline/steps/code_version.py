"""The version of the code that makes a run's outputs."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import business
import contracts
import pipeline
import ranking

# Also the bounds of the data checks.
_SOURCES = {".py", ".yaml"}
_PACKAGES = (pipeline, ranking, contracts, business)
# Libraries whose releases may change the results.
_LIBRARIES = ("duckdb", "lightgbm", "numba", "numpy", "pandas", "pyarrow", "scipy")


@cache
def code_version() -> str:
    """Return a hash of the sources of the pipeline and of its libraries' versions (16 hex digits)."""
    hashed = hashlib.sha256()
    for package in _PACKAGES:
        (root,) = map(Path, package.__path__)
        for path in sorted(each for each in root.rglob("*") if each.suffix in _SOURCES):
            hashed.update(f"{package.__name__}/{path.relative_to(root).as_posix()}\n".encode())
            hashed.update(path.read_bytes())
    for library in _LIBRARIES:
        hashed.update(f"{library} {_version(library)}\n".encode())
    return hashed.hexdigest()[:16]


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "-"
