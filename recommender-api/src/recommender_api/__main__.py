"""`python -m recommender_api`."""

import os
import sys
from pathlib import Path


def main() -> int:
    """Serve until told to stop; returns the exit code."""
    # Read once, when numpy and LightGBM are first imported: a second thread costs twice the CPU for 200 candidates
    # and fights with the other replicas.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # A thread that loads a model gives way to answers after so long (s), and not after fifty times that: an answer
    # lets go of the interpreter, and has to get it back, about ten times.
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
