"""`python -m recommender_api`."""

import os
import sys
from pathlib import Path


def main() -> int:
    """Serve until the process is stopped; return the exit code."""
    # numpy and LightGBM read this once, at their first import. A second thread doubles the CPU for 200 candidates and
    # competes with the other replicas.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # A thread that loads a model releases the interpreter after this time (s), a fiftieth of Python's default. An
    # answer gives up the interpreter about ten times and must get it back each time.
    sys.setswitchinterval(0.0001)
    from ranking.prebuilt_cache import install_prebuilt_cache
    from recommender_api.app import create_app
    from recommender_api.models.malloc import configure_malloc
    from recommender_api.settings import Settings
    from servicekit.run import run

    if compiled_code := os.environ.get("NUMBA_CACHE_DIR"):
        install_prebuilt_cache(Path(compiled_code))
    configure_malloc()
    return run("recommender-api", Settings, create_app)


if __name__ == "__main__":
    sys.exit(main())
