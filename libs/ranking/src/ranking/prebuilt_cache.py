"""Compiled code that came with an image; see `ranking.precompiled`."""

import hashlib
import logging
import tempfile
from pathlib import Path

PREBUILT = Path(__file__).with_name("compiled")
# Written behind all else; says what was taken.
_TAKEN = "taken"

_log = logging.getLogger(__name__)


def install_prebuilt_cache(cache_dir: Path, prebuilt: Path = PREBUILT) -> None:
    """Copy what came with an image to where Numba keeps what it compiles: it looks only where it may write."""
    # The indices last: they must not name what isn't there yet.
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
            "the compiled code of this image can't be kept in %s: it is compiled again", cache_dir, exc_info=True
        )


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder, path.name)
        whole.write_bytes(content)
        whole.replace(path)
