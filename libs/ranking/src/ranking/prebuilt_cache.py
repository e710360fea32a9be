"""Compiled code that comes with an image; see `ranking.precompiled`."""

import hashlib
import logging
import tempfile
from pathlib import Path

PREBUILT = Path(__file__).with_name("compiled")
# Written last; names the installed cache.
_TAKEN = "taken"

_log = logging.getLogger(__name__)


def install_prebuilt_cache(cache_dir: Path, prebuilt: Path = PREBUILT) -> None:
    """Copy the image's compiled code to Numba's cache folder: Numba only looks in a writable one."""
    # The indices last: they must not name files that don't exist yet.
    files = sorted(prebuilt.rglob("*.nb?"), key=lambda path: (path.suffix == ".nbi", path))
    state = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    mark = hashlib.sha256(repr(state).encode()).hexdigest()
    taken = cache_dir / _TAKEN
    try:
        if not files or (taken.exists() and taken.read_text(encoding="ascii") == mark):
            return
        for path in files:
            _replace(cache_dir / path.relative_to(prebuilt), path.read_bytes())
        _replace(taken, mark.encode())
    except OSError:
        _log.warning(
            "the compiled code of this image can't be installed in %s: it is compiled again", cache_dir, exc_info=True
        )


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder, path.name)
        whole.write_bytes(content)
        whole.replace(path)
