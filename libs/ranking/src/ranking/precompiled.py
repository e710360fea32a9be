"""`python -m ranking.precompiled`: compile all that a loaded bundle runs, for each level of CPU, where Numba keeps it.

An image does so when it is built, with NUMBA_CACHE_DIR set to `SHIPPED`. Its containers then compile nothing, which
would take each of them 15 s and 270 MB when it starts.
"""

import hashlib
import logging
import os
import sys
import tempfile
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import ranking
from ranking.bundle import load
from ranking.cpus import LEVELS, host
from ranking.engine import Engine
from ranking.json_items import compile_json_items
from ranking.testing import tiny_bundle
from ranking.verification import verify

SHIPPED = Path(__file__).with_name("compiled")
# Written behind all else; says what was taken.
_TAKEN = "taken"

_log = logging.getLogger(__name__)


def take_shipped(kept: Path, shipped: Path = SHIPPED) -> None:
    """Copy what came with an image to where Numba keeps what it compiles: it looks only where it may write."""
    # The indices last: they must not name what isn't there yet.
    files = sorted(shipped.rglob("*.nb?"), key=lambda path: (path.suffix == ".nbi", path))
    state = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    mark = hashlib.sha256(repr(state).encode()).hexdigest()
    taken = kept / _TAKEN
    try:
        if not files or (taken.exists() and taken.read_text(encoding="ascii") == mark):
            return
        for path in files:
            _replace(kept / path.relative_to(shipped), path.read_bytes())
        _replace(taken, mark.encode())
    except OSError:
        _log.warning("the compiled code of this image can't be kept in %s: it is compiled again", kept, exc_info=True)


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder, path.name)
        whole.write_bytes(content)
        whole.replace(path)


def _loops() -> dict[str, Any]:
    """Return all that is compiled, by module and name."""
    modules = [import_module(f"{ranking.__name__}.{module.name}") for module in iter_modules(ranking.__path__)]
    loops = (loop for module in modules for loop in vars(module).values() if hasattr(loop, "signatures"))
    return {f"{loop.py_func.__module__}.{loop.py_func.__name__}": loop for loop in loops}


def _compile(signatures: dict[str, list[Any]]) -> None:
    """Compile without a call: this CPU may not know the other's instructions."""
    loops = _loops()
    for name, kinds in signatures.items():
        for kind in kinds:
            loops[name].compile(kind)


def main() -> int:
    """Have a bundle answer, which compiles for this CPU, then compile the same for others; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        verify(Engine(load(tiny_bundle(Path(folder)))))
    compile_json_items()
    signatures = {name: loop.signatures for name, loop in _loops().items()}
    failed = 0
    for cpu in LEVELS:
        if cpu != host():
            # Numba asks for them when it is imported.
            os.environ.update(NUMBA_CPU_NAME=cpu.name, NUMBA_CPU_FEATURES=cpu.features)
            process = get_context("spawn").Process(target=_compile, args=[signatures])
            process.start()
            process.join()
            failed = failed or process.exitcode or 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
