"""What the outcome of a check depends on besides the bundle: the code that checks, and its libraries."""

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("contracts", "ranking", "model_registry.bundle_checks")
_LIBRARIES = ("lightgbm", "numba", "numpy", "pyarrow", "pydantic")


@cache
def code_version() -> str:
    """Return a hash, 16 hex digits, that changes with every source file of the checks and every library's version."""
    digest = hashlib.sha256(platform.machine().encode())
    for library in _LIBRARIES:
        digest.update(f"{library}=={version(library)}\n".encode())
    for package in _PACKAGES:
        found = find_spec(package)
        for folder in (found.submodule_search_locations or []) if found else []:
            for source in sorted(Path(folder).rglob("*.py")):
                digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
