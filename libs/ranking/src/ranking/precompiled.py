"""`python -m ranking.precompiled`: compile all loops for each CPU level into Numba's cache folder.

An image's build runs it with NUMBA_CACHE_DIR set to `ranking.prebuilt_cache.PREBUILT`. Its containers then compile
nothing; otherwise each of them would need 15 s and 270 MB at its start.
"""

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


def loops() -> dict[str, Any]:
    """Return all compiled functions, by module and name."""
    modules = [import_module(f"{ranking.__name__}.{module.name}") for module in iter_modules(ranking.__path__)]
    found = (loop for module in modules for loop in vars(module).values() if hasattr(loop, "signatures"))
    return {f"{loop.py_func.__module__}.{loop.py_func.__name__}": loop for loop in found}


def _compile(signatures: dict[str, list[Any]]) -> None:
    """Compile without a call: this CPU may not have the instructions of the other level."""
    here = loops()
    for name, kinds in signatures.items():
        for kind in kinds:
            here[name].compile(kind)


def main() -> int:
    """Use a bundle, which compiles for this CPU; then compile the same for other levels. Return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        verify(Engine(load(tiny_bundle(Path(folder)))))
    compile_json_items()
    signatures = {name: loop.signatures for name, loop in loops().items()}
    failed = 0
    for cpu in LEVELS:
        if cpu != host():
            # Numba reads them at its import.
            os.environ.update(NUMBA_CPU_NAME=cpu.name, NUMBA_CPU_FEATURES=cpu.features)
            process = get_context("spawn").Process(target=_compile, args=[signatures])
            process.start()
            process.join()
            failed = failed or process.exitcode or 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
